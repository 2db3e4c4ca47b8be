import { SetMetadata } from '@nestjs/common';
import type { MLEventHandler, MLEventName } from './messages';

const LISTENS_TO = 'evzone:ml:listens-to';

type Listens<E extends MLEventName> = <T extends MLEventHandler<E>>(
  target: object,
  name: string | symbol,
  method: TypedPropertyDescriptor<T>,
) => void;

const listensTo = <E extends MLEventName>(event: E): Listens<E> => SetMetadata(LISTENS_TO, event);

/** The method is given every prediction: `(event: PredictionEvent, record: MLRecord)`. */
export const OnPrediction = () => listensTo('prediction');
/** The method is given failure alerts, opened and closed: `(alert: FailureAlert, record: MLRecord)`. */
export const OnFailureAlert = () => listensTo('failureAlert');
/** The method is given anomaly alerts, opened and closed: `(alert: AnomalyAlert, record: MLRecord)`. */
export const OnAnomalyAlert = () => listensTo('anomalyAlert');

/** What a method listens to, if it does. */
export function eventListenedTo(method: object): MLEventName | undefined {
  return Reflect.getMetadata(LISTENS_TO, method) as MLEventName | undefined;
}
