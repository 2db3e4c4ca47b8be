import type { AnomalyVerdict, FailurePrediction, Reading } from '../types';
import { encoded } from '../json';

/** A record of `ml.predictions`. `event_id` is the same for every attempt to score the same reading. */
export type PredictionEvent = FailurePrediction & {
  event_id: string;
  source: { topic: string; partition: number; offset: number };
};

/** Fields of an alert, in addition to the verdict that opened or closed it. */
interface Alert {
  /** Equal in the opening and the closing record. */
  alert_id: string;
  state: 'open' | 'closed';
  opened_at: string;
  /** The `event_id` that opened it. */
  opened_by: string;
  closed_at: string | null;
  event_id: string;
}

/** A record of `charger.failure_alerts`: a charger's risk became high, or low again. */
export type FailureAlert = FailurePrediction & Alert & { alert: 'failure' };
/** A record of `charger.anomalies`: a charger's readings became anomalous, or normal again. */
export type AnomalyAlert = AnomalyVerdict & Alert & { alert: 'anomaly' };

/** Types of the events. */
export interface MLEvents {
  prediction: PredictionEvent;
  failureAlert: FailureAlert;
  anomalyAlert: AnomalyAlert;
}
/** Name of an event. */
export type MLEventName = keyof MLEvents;

/** Origin of a record. */
export interface MLRecord {
  /** Equal for repeats of the same event. Delivery is at least once: skip ids that were handled. */
  dedupId: string;
  topic: string;
  partition: number;
  offset: string;
}

/** Handles one event. If it throws, it is called again with the record, and later records wait. */
export type MLEventHandler<E extends MLEventName> = (
  event: MLEvents[E],
  record: MLRecord,
) => void | Promise<void>;

/** Parse a record's value; null if it is not an event. */
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

/** Deduplication id of an event. An alert has two: one for opening, one for closing. */
export function dedupIdOf(event: MLEvents[MLEventName]): string {
  return 'alert_id' in event ? `${event.alert_id}:${event.state}` : event.event_id;
}

/** A record for `charger.metrics`. Its key keeps a charger's readings in order. Throws for NaN and infinity. */
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
