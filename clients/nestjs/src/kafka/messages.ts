import type { AnomalyVerdict, FailurePrediction, Reading } from '../types';
import { encoded } from '../json';

/** A record of `ml.predictions`. `event_id` is the same for every attempt at the reading behind it. */
export type PredictionEvent = FailurePrediction & {
  event_id: string;
  source: { topic: string; partition: number; offset: number };
};

/** What an alert adds to the verdict that opened or closed it. */
interface Alert {
  /** The same when it opens and when it closes. */
  alert_id: string;
  state: 'open' | 'closed';
  opened_at: string;
  /** The `event_id` that opened it. */
  opened_by: string;
  closed_at: string | null;
  event_id: string;
}

/** A record of `charger.failure_alerts`: a charger's risk has become high, or low again. */
export type FailureAlert = FailurePrediction & Alert & { alert: 'failure' };
/** A record of `charger.anomalies`: a charger has become unlike the others, or like them again. */
export type AnomalyAlert = AnomalyVerdict & Alert & { alert: 'anomaly' };

/** What can be listened to. */
export interface MLEvents {
  prediction: PredictionEvent;
  failureAlert: FailureAlert;
  anomalyAlert: AnomalyAlert;
}
export type MLEventName = keyof MLEvents;

/** Where a record came from. */
export interface MLRecord {
  /** Equal for repeats of the same event: skip what you have handled, for records may come more than once. */
  dedupId: string;
  topic: string;
  partition: number;
  offset: string;
}

/** Takes one event. While it throws, the record is given to it again, and those behind wait. */
export type MLEventHandler<E extends MLEventName> = (
  event: MLEvents[E],
  record: MLRecord,
) => void | Promise<void>;

/** An event as it came; null for what is none. */
export function eventOf(value: Buffer | null): MLEvents[MLEventName] | null {
  try {
    const found: unknown = JSON.parse(value?.toString() ?? '');
    return typeof found === 'object' && found !== null && 'charger_id' in found && 'event_id' in found
      ? (found as MLEvents[MLEventName])
      : null;
  } catch {
    return null;
  }
}

/** An alert comes twice: when it opens and when it closes. */
export function dedupIdOf(event: MLEvents[MLEventName]): string {
  return 'alert_id' in event ? `${event.alert_id}:${event.state}` : event.event_id;
}

/** A record for `charger.metrics`, keyed so that a charger's readings stay in order. */
export function metricsRecord(
  reading: Reading,
  tenantId: string | undefined,
): { key: string; value: string } {
  const value =
    tenantId === undefined
      ? reading
      : { charger_id: reading.charger_id, tenant_id: tenantId, metrics: reading };
  return { key: reading.charger_id, value: encoded(value) };
}
