import { SetMetadata } from '@nestjs/common';
import type { MLEventHandler, MLEventName } from './messages';

const LISTENS_TO = 'evzone:ml:listens-to';

type Listens<E extends MLEventName> = <T extends MLEventHandler<E>>(
  target: object,
  name: string | symbol,
  method: TypedPropertyDescriptor<T>,
) => void;

const listensTo = <E extends MLEventName>(event: E): Listens<E> => SetMetadata(LISTENS_TO, event);

/** Call the method for every prediction: `(event: PredictionEvent, record: MLRecord)`. */
export const OnPrediction = () => listensTo('prediction');
/** Call the method when a failure alert opens or closes: `(alert: FailureAlert, record: MLRecord)`. */
export const OnFailureAlert = () => listensTo('failureAlert');
/** Call the method when an anomaly alert opens or closes: `(alert: AnomalyAlert, record: MLRecord)`. */
export const OnAnomalyAlert = () => listensTo('anomalyAlert');

/** The event that a method listens to; undefined if none. */
export function eventListenedTo(method: object): MLEventName | undefined {
  return Reflect.getMetadata(LISTENS_TO, method) as MLEventName | undefined;
}
