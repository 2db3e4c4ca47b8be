import type { components } from './generated/openapi';

type Schemas = components['schemas'];

/** One reading of a charger, in kWh, kW, °C and hours. A missing value is unknown, not zero. */
export type Reading = Schemas['Reading'];
/** A reading in an envelope, which may leave its `charger_id` out. */
export type Metrics = Schemas['Metrics'];
/** A reading in its envelope. Where both have a `charger_id`, it is the same. */
export type PredictionRequest = Schemas['PredictionRequest'];
/** Failure probabilities (0 to 1) within 1, 7 and 30 days, with reasons and next steps. */
export type FailurePrediction = Schemas['FailurePrediction'];
/** Cheapest date for a visit, with costs in `currency`. */
export type MaintenanceSchedule = Schemas['MaintenanceSchedule'];
/** Whether a reading differs from the fleet, with a score from 0 to 100. */
export type AnomalyVerdict = Schemas['AnomalyVerdict'];
/** Master data of a charger. All are optional; null is unknown. */
export type Attributes = Schemas['Attributes'];
/** The attributes that are stored for a charger. */
export type StoredAttributes = Schemas['StoredAttributes'];
/** All that is known of a charger. */
export type Charger = Schemas['Charger'];
/** A charger of the fleet: its newest failure prediction and its attributes. */
export type FleetCharger = Schemas['FleetCharger'];
/** The chargers of a site. */
export type Site = Schemas['Site'];
/** Status and progress of a batch job. */
export type Job = Schemas['Job'];
/** Kind of verdicts of a job. */
export type JobKind = Exclude<Job['kind'], 'erase'>;
/** The models loaded by the workers. */
export type Models = Schemas['Models'];
/** An outcome to report. */
export type Outcome = Schemas['Outcome'];
/** Receipt of a reported outcome. */
export type OutcomeAccepted = Schemas['OutcomeAccepted'];
/** A stored outcome. */
export type ReportedOutcome = Schemas['ReportedOutcome'];
/** A correction of an outcome: one of the fields, or both. */
export type OutcomeCorrection = Schemas['OutcomeKindCorrection'] | Schemas['OutcomeTimeCorrection'];
/** An alert, and what people did about it. */
export type Alert = Schemas['Alert'];
/** An alert with its newest 50 events. */
export type AlertWithStory = Schemas['AlertWithStory'];
/** The end of a muting, as `until` or `hours`, and its reason. */
export type Muting = Schemas['MutingUntil'] | Schemas['MutingForHours'];
/** Health as reported by the service. */
export type ServiceHealth = Schemas['Health'];
/** Version of the service, and how to reach it through Kafka. */
export type ServiceInfo = Schemas['ServiceInfo'];
/** An RFC 9457 problem document. `errors` lists the invalid fields of a request. */
export type Problem = Schemas['Problem'];

/** The kinds of verdict, with their types. */
export interface Verdicts {
  failure: FailurePrediction;
  maintenance: MaintenanceSchedule;
  anomaly: AnomalyVerdict;
}
/** Kind of a verdict. */
export type VerdictKind = keyof Verdicts;
/** All kinds of verdict. */
export const VERDICT_KINDS: readonly VerdictKind[] = ['failure', 'maintenance', 'anomaly'];

/** Readings of a whole fleet. An invalid one becomes a {@link FailedRow} and does not affect the others. */
export interface BatchRequest {
  chargers: Reading[];
}

/** A row of a batch that could not be scored. `row` counts from 0. */
export interface FailedRow {
  charger_id: string | null;
  row: number;
  error: { code: string; detail: string; errors?: Problem['errors'] };
}

/** The only row of a job of kind `erase`. It does not hold the erased id. */
export interface Receipt {
  row: 0;
  charger_id: null;
  subject: 'charger' | 'tenant';
  subject_sha256: string;
  request_id: string;
  requested_at: string;
  erased_at: string;
  erased: Record<string, number>;
  /** Whether the consumers have erased their state, or do it when they next run. */
  state: Record<'alerts' | 'ocpp', 'erased' | 'pending'>;
  /** Data that the service cannot delete, and when it ends. */
  remains: { data: string; until: string }[];
}

/** A row of a batch of kind `all`. */
export type AllVerdicts = Verdicts & { charger_id: string };
/** A row of a job of kind `K`. */
export type BatchRow<K extends JobKind | 'erase' = JobKind> =
  (K extends VerdictKind ? Verdicts[K] : K extends 'erase' ? Receipt : AllVerdicts) | FailedRow;

/** The rows of a completed batch, or the job that continues after the wait. */
export type BatchPredictions<K extends JobKind = 'failure'> =
  | { completed: true; job_id: string; predictions: BatchRow<K>[]; total: number; timestamp: string }
  | { completed: false; job_id: string; job: Job };

/** One page. `next` is the cursor of the next page, or null at the end. */
export interface Page<T> {
  items: T[];
  next: string | null;
  total?: number;
}

/** Whether a row of a batch could not be scored. */
export function isFailedRow(row: object): row is FailedRow {
  return 'error' in row;
}
