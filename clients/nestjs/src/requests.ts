import { randomUUID } from 'node:crypto';
import type { CallOptions } from './caller';
import type { ServiceRequest } from './transport';
import type { BatchRequest, JobKind } from './types';

export const API = '/api/v1';

export interface BatchOptions<K extends JobKind = JobKind> extends CallOptions {
  /** What is asked about each reading; `failure` by default. */
  kind?: K;
  /** Whether the verdicts go to the service's cache and fleet view; true by default. */
  store?: boolean;
  /** The same key and body name the same job; by default a new one for each call, which makes retries safe. */
  idempotencyKey?: string;
}

export interface PageOptions extends CallOptions {
  limit?: number;
  /** `next` of the page before. */
  cursor?: string;
}

export function predictionPath(chargerId: string): string {
  return `${API}/predictions/${encodeURIComponent(chargerId)}`;
}

export function jobPath(jobId: string): string {
  return `${API}/jobs/${encodeURIComponent(jobId)}`;
}

export function batchRequest(request: BatchRequest, call: BatchOptions): ServiceRequest {
  const { kind = 'failure', store = true, idempotencyKey = randomUUID() } = call;
  return {
    method: 'POST',
    path: `${API}/predictions/batch?kind=${kind}&store=${store}`,
    body: request,
    headers: { 'Idempotency-Key': idempotencyKey },
  };
}

export function query({ limit, cursor }: PageOptions): string {
  const asked = new URLSearchParams();
  if (limit !== undefined) {
    asked.set('limit', String(limit));
  }
  if (cursor !== undefined) {
    asked.set('cursor', cursor);
  }
  return asked.size === 0 ? '' : `?${asked.toString()}`;
}
