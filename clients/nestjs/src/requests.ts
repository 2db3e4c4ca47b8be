import { randomUUID } from 'node:crypto';
import type { CallOptions } from './caller';
import type { ServiceRequest } from './transport';
import type { BatchRequest, FleetCharger, JobKind } from './types';

/** Path prefix of the API. */
export const API = '/api/v1';

/** Options of a batch call. */
export interface BatchOptions<K extends JobKind = JobKind> extends CallOptions {
  /** Kind of verdict on each reading; default: `failure`. */
  kind?: K;
  /** Whether the service writes the verdicts to its cache and fleet view; default: true. */
  store?: boolean;
  /** The same key and body return the same job. Default: a new key for each call, which makes retries safe. */
  idempotencyKey?: string;
}

/** Options of a call that returns a page. */
export interface PageOptions extends CallOptions {
  /** Items of a page: 100 by default, at most 1,000. The service refuses more (422). */
  limit?: number;
  /** `next` of the previous page. */
  cursor?: string;
}

/** Options of the list of outcomes. */
export interface OutcomePageOptions extends PageOptions {
  /** Only outcomes of this charger. */
  chargerId?: string;
}

/** A value of this field. A charger without a prediction has none. */
type Known<Field extends keyof FleetCharger> = NonNullable<FleetCharger[Field]>;

/** Options of the list of chargers. Of several values of a filter any counts. */
export interface FleetOptions extends PageOptions {
  site?: string | readonly string[];
  vendor?: string | readonly string[];
  model?: string | readonly string[];
  firmware?: string | readonly string[];
  status?: Known<'connector_status'> | readonly Known<'connector_status'>[];
  action?: Known<'recommended_action'> | readonly Known<'recommended_action'>[];
  /** The lowest probability of a failure within 30 days, 0 to 1. */
  minRisk?: number;
  /** Chargers with a prediction, or those of which only attributes are known. */
  scored?: boolean;
  /** Part of the id, the name or the site, in any case. */
  q?: string;
  /** Default: `risk`. A dash before the name turns the order round. */
  sort?: FleetSort | `-${FleetSort}`;
}

/** Orders of the list of chargers. */
export type FleetSort = 'risk' | 'reading_timestamp' | 'cost_of_waiting' | 'charger_id' | 'site';

/** Options of the list of sites. */
export interface SitesOptions extends PageOptions {
  /** Default: `risk`. A dash before the name turns the order round. */
  sort?: SitesSort | `-${SitesSort}`;
}

/** Orders of the list of sites. */
export type SitesSort = 'risk' | 'chargers' | 'cost_of_waiting' | 'site_id';

/** Path of a charger. */
export function chargerPath(chargerId: string): string {
  return `${API}/chargers/${encodeURIComponent(chargerId)}`;
}

/** Path of an outcome. */
export function outcomePath(outcomeId: string): string {
  return `${API}/outcomes/${encodeURIComponent(outcomeId)}`;
}

/** Options of the list of alerts. */
export interface AlertPageOptions extends OutcomePageOptions {
  /** `open` by default. */
  state?: 'open' | 'closed' | 'all';
  kind?: 'failure' | 'anomaly';
  acknowledged?: boolean;
  /** The person or team, exactly. */
  assignedTo?: string;
  muted?: boolean;
}

/** Path of an alert, or of an action on it. */
export function alertPath(alertId: string, action?: 'acknowledge' | 'assign' | 'mute'): string {
  const path = `${API}/alerts/${encodeURIComponent(alertId)}`;
  return action === undefined ? path : `${path}/${action}`;
}

/** Path of a charger's cached prediction. */
export function predictionPath(chargerId: string): string {
  return `${API}/predictions/${encodeURIComponent(chargerId)}`;
}

/** Path of a job. */
export function jobPath(jobId: string): string {
  return `${API}/jobs/${encodeURIComponent(jobId)}`;
}

/** The request that submits a batch. */
export function batchRequest(request: BatchRequest, call: BatchOptions): ServiceRequest {
  const { kind = 'failure', store = true, idempotencyKey = randomUUID() } = call;
  return {
    method: 'POST',
    path: `${API}/predictions/batch?kind=${kind}&store=${store}`,
    body: request,
    headers: { 'Idempotency-Key': idempotencyKey },
  };
}

/** Query string of a list of chargers or sites, with its `?`; empty without options. */
export function fleetQuery(options: FleetOptions | SitesOptions): string {
  const { minRisk, scored, site, vendor, model, firmware, status, action, q, sort } = options as FleetOptions;
  const asked = pageQuery(options);
  for (const [name, value] of Object.entries({ site, vendor, model, firmware, status, action, q, sort })) {
    for (const each of value === undefined ? [] : typeof value === 'string' ? [value] : value) {
      asked.append(name, each);
    }
  }
  if (minRisk !== undefined) {
    asked.set('min_risk', String(minRisk));
  }
  if (scored !== undefined) {
    asked.set('scored', String(scored));
  }
  return asked.size === 0 ? '' : `?${asked.toString()}`;
}

/** Query string of a page request, with its `?`; empty without options. */
export function query(options: AlertPageOptions): string {
  const asked = pageQuery(options);
  const fields = {
    charger_id: options.chargerId,
    state: options.state,
    kind: options.kind,
    acknowledged: options.acknowledged,
    assigned_to: options.assignedTo,
    muted: options.muted,
  };
  for (const [name, value] of Object.entries(fields)) {
    if (value !== undefined) {
      asked.set(name, String(value));
    }
  }
  return asked.size === 0 ? '' : `?${asked.toString()}`;
}

function pageQuery({ limit, cursor }: PageOptions): URLSearchParams {
  const asked = new URLSearchParams();
  if (limit !== undefined) {
    asked.set('limit', String(limit));
  }
  if (cursor !== undefined) {
    asked.set('cursor', cursor);
  }
  return asked;
}
