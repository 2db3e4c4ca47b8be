import type { components } from './generated/openapi';

type Schemas = components['schemas'];

/** One reading of a charger: kWh, kW, °C, hours. What is missing is missing, not zero. */
export type Reading = Schemas['Reading'];
/** A reading in its envelope; `charger_id` is the same in both. */
export type PredictionRequest = Schemas['PredictionRequest'];
export type FailurePrediction = Schemas['FailurePrediction'];
export type MaintenanceSchedule = Schemas['MaintenanceSchedule'];
export type AnomalyVerdict = Schemas['AnomalyVerdict'];
export type Job = Schemas['Job'];
export type JobKind = Job['kind'];
export type Models = Schemas['Models'];
export type Outcome = Schemas['Outcome'];
export type OutcomeAccepted = Schemas['OutcomeAccepted'];
export type ServiceHealth = Schemas['Health'];
/** An RFC 9457 problem document; `errors` names each wrong field of a request. */
export type Problem = Schemas['Problem'];

/** What one reading may be asked about, and the verdict on it. */
export interface Verdicts {
  failure: FailurePrediction;
  maintenance: MaintenanceSchedule;
  anomaly: AnomalyVerdict;
}
export type VerdictKind = keyof Verdicts;
export const VERDICT_KINDS: readonly VerdictKind[] = ['failure', 'maintenance', 'anomaly'];

/** Readings of a whole fleet. One that is wrong becomes a {@link FailedRow} and does not stop the others. */
export interface BatchRequest {
  chargers: Reading[];
}

/** A reading of a batch that could not be scored; `row` counts from 0. */
export interface FailedRow {
  charger_id: string | null;
  row: number;
  error: { code: string; detail: string; errors?: Problem['errors'] };
}

/** A row of a batch of kind `all`. */
export type AllVerdicts = Verdicts & { charger_id: string };
/** What a job of kind `K` says of one reading. */
export type BatchRow<K extends JobKind = JobKind> =
  (K extends VerdictKind ? Verdicts[K] : AllVerdicts) | FailedRow;

/** The rows of a batch that ended while the caller waited, or the job that goes on without it. */
export type BatchPredictions<K extends JobKind = 'failure'> =
  | { completed: true; job_id: string; predictions: BatchRow<K>[]; total: number; timestamp: string }
  | { completed: false; job_id: string; job: Job };

/** One page; `next` is the cursor of the following one, null at the end. */
export interface Page<T> {
  items: T[];
  next: string | null;
  total?: number;
}

/** Whether a row of a batch is one that could not be scored. */
export function isFailedRow(row: object): row is FailedRow {
  return 'error' in row;
}
