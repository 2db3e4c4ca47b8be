import type { Problem } from './types';

/** Reason for a missing answer from the service. */
export type UnavailableReason =
  /** `ML_SERVICE_ENABLED=false`. */
  | 'disabled'
  /** Too many calls failed in a row; none is sent until the breaker half-opens. */
  | 'circuit_open'
  /** No connection, or a broken one. */
  | 'unreachable'
  /** No answer in time. */
  | 'timeout'
  /** The service requires a later retry: 408, 425, 429, 409 `still_accepted`, 503 `queue_full` or 507. */
  | 'overloaded'
  /** Any other 5xx except 504, or an unreadable response. */
  | 'service_error'
  /** The caller's `signal` ended the call. */
  | 'aborted';

/** A successful answer. `source` is `cache` if it came from the client's cache. */
export interface MLOk<T> {
  status: 'ok';
  data: T;
  source: 'service' | 'cache';
  stale: false;
  requestId: string;
}

/** No answer: the service is disabled, unreachable or overloaded. */
export type MLUnavailable<T> = {
  status: 'unavailable';
  reason: UnavailableReason;
  /** Text for logs, not for users. */
  message: string;
  /** Milliseconds until a retry makes sense; null if unknown. */
  retryAfterMs: number | null;
  requestId: string;
} & (
  | {
      /** The last cached verdict on this charger, possibly of an older reading or an older model. */
      data: T;
      stale: true;
    }
  | { data: null; stale: false }
);

/** The service refused the request (4xx) and would refuse it again. `problem.errors` lists the invalid fields. */
export interface MLRejected {
  status: 'rejected';
  problem: Problem;
  requestId: string;
}

/** Result of every call. Calls reject only if `throwErrors` is set. */
export type MLAnswer<T> = MLOk<T> | MLUnavailable<T> | MLRejected;

/** Thrown for {@link MLUnavailable} if `throwErrors` is set. */
export class MLUnavailableError extends Error {
  override readonly name = 'MLUnavailableError';
  constructor(readonly answer: MLUnavailable<unknown>) {
    super(`${answer.reason}: ${answer.message}`);
  }
}

/** Thrown for {@link MLRejected} if `throwErrors` is set. */
export class MLRequestError extends Error {
  override readonly name = 'MLRequestError';
  constructor(readonly answer: MLRejected) {
    super(`${answer.problem.code}: ${answer.problem.detail}`);
  }
}

/** Return the answer's data. Throws {@link MLUnavailableError} or {@link MLRequestError}. */
export function orThrow<T>(answer: MLAnswer<T>): T {
  switch (answer.status) {
    case 'ok':
      return answer.data;
    case 'unavailable':
      throw new MLUnavailableError(answer);
    case 'rejected':
      throw new MLRequestError(answer);
  }
}
