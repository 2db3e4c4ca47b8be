import { randomUUID } from 'node:crypto';
import type { CallOptions } from './caller';
import type { ServiceRequest } from './transport';
import type { BatchRequest, JobKind } from './types';

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

/** Path of an outcome. */
export function outcomePath(outcomeId: string): string {
  return `${API}/outcomes/${encodeURIComponent(outcomeId)}`;
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

/** Query string of a page request, with its `?`; empty without options. */
export function query({ limit, cursor, chargerId }: OutcomePageOptions): string {
  const asked = new URLSearchParams();
  if (limit !== undefined) {
    asked.set('limit', String(limit));
  }
  if (cursor !== undefined) {
    asked.set('cursor', cursor);
  }
  if (chargerId !== undefined) {
    asked.set('charger_id', chargerId);
  }
  return asked.size === 0 ? '' : `?${asked.toString()}`;
}
