import type { Problem } from './types';

/** Why there is no answer from the service. */
export type UnavailableReason =
  /** `ML_SERVICE_ENABLED=false`. */
  | 'disabled'
  /** Too many calls in a row have failed; none is sent until the breaker half-opens. */
  | 'circuit_open'
  /** No connection, or one that broke. */
  | 'unreachable'
  /** No answer in time. */
  | 'timeout'
  /** The service is there and asks for patience (429, or 503 `queue_full`). */
  | 'overloaded'
  /** Any other 5xx, or an answer that nobody can read. */
  | 'service_error'
  /** The caller's own `signal`. */
  | 'aborted';

/** The answer. `source` says whether the client's cache had it. */
export interface MLOk<T> {
  status: 'ok';
  data: T;
  source: 'service' | 'cache';
  stale: false;
  requestId: string;
}

/** No answer: the service is off, away or too busy. */
export type MLUnavailable<T> = {
  status: 'unavailable';
  reason: UnavailableReason;
  /** For a log, not for a person. */
  message: string;
  /** When another try makes sense, if anybody knows. */
  retryAfterMs: number | null;
  requestId: string;
} & (
  | {
      /** The last cached verdict on this charger. It may speak of an older reading, or be of an older model. */
      data: T;
      stale: true;
    }
  | { data: null; stale: false }
);

/** The service refuses this request (4xx), and would again: `problem` says why, `problem.errors` where. */
export interface MLRejected {
  status: 'rejected';
  problem: Problem;
  requestId: string;
}

/** What every call resolves to. None rejects, unless the caller asks for exceptions. */
export type MLAnswer<T> = MLOk<T> | MLUnavailable<T> | MLRejected;

/** Thrown for {@link MLUnavailable} where the caller asked for exceptions. */
export class MLUnavailableError extends Error {
  override readonly name = 'MLUnavailableError';
  constructor(readonly answer: MLUnavailable<unknown>) {
    super(`${answer.reason}: ${answer.message}`);
  }
}

/** Thrown for {@link MLRejected} where the caller asked for exceptions. */
export class MLRequestError extends Error {
  override readonly name = 'MLRequestError';
  constructor(readonly answer: MLRejected) {
    super(`${answer.problem.code}: ${answer.problem.detail}`);
  }
}

/** The answer's data, or its exception: {@link MLUnavailableError} or {@link MLRequestError}. */
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
