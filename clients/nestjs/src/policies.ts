import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from '@nestjs/common';
import {
  circuitBreaker,
  CircuitState as State,
  ConsecutiveBreaker,
  ExponentialBackoff,
  fullJitterGenerator,
  handleWhen,
  isBrokenCircuitError,
} from 'cockatiel';
import type { Deadline } from './deadline';
import { AttemptFailed } from './transport';

/** `open`: no call is sent. `half_open`: the result of one trial call decides. */
export type CircuitState = 'closed' | 'open' | 'half_open';

/** Number of retries, and the first and the longest pause between attempts. */
export interface RetryRules {
  retries: number;
  delayMs: number;
  maxDelayMs: number;
}

/**
 * The retries that a client may still make, over all its calls.
 *
 * Each call adds `ratio`, each retry takes 1, and at most `reserve` are saved. It begins with `reserve`. In an
 * outage a client then sends at most `1 + ratio` times its calls, after the reserve is used. Otherwise retries
 * would multiply the load that made the calls fail. The scheme is that of Finagle's `RetryBudget`, with a fixed
 * reserve; gRPC's `retryThrottling` (proposal A6) is similar.
 */
export class RetryBudget {
  // In thousandths, as gRPC counts: sums of floats are a little less than they should be.
  private readonly most: number;
  private readonly each: number;
  private leftThousandths: number;

  constructor(ratio: number, reserve: number) {
    this.most = reserve * 1_000;
    this.each = Math.round(ratio * 1_000);
    this.leftThousandths = this.most;
  }

  /** Number of retries that are left. */
  get left(): number {
    return this.leftThousandths / 1_000;
  }

  /** Count a call. */
  addCall(): void {
    this.leftThousandths = Math.min(this.most, this.leftThousandths + this.each);
  }

  /** Take one retry. Returns whether there was one. */
  take(): boolean {
    if (this.leftThousandths < 1_000) {
      return false;
    }
    this.leftThousandths -= 1_000;
    return true;
  }
}

/** Largest random share of `Retry-After` that is added to it. */
const MOST_ADDED = 0.5;

/**
 * Call `attempt` until it succeeds, at most `retries` + 1 times. Each pause is random, from 0 up to an exponential
 * limit, in addition to `Retry-After` and a random share of it. This is "full jitter" of "Exponential Backoff And
 * Jitter" (AWS Architecture Blog, 2015). Throws the last {@link AttemptFailed}, at once if the next pause would pass the deadline, or if no
 * retry is left in the budget.
 */
export async function withRetries<T>(
  attempt: () => Promise<T>,
  deadline: Deadline,
  rules: RetryRules,
  budget: RetryBudget,
): Promise<T> {
  budget.addCall();
  let backoff = new ExponentialBackoff({
    initialDelay: rules.delayMs,
    maxDelay: rules.maxDelayMs,
    generator: fullJitterGenerator,
  }).next();
  for (let retried = 0; ; retried += 1) {
    try {
      return await attempt();
    } catch (error) {
      if (!(error instanceof AttemptFailed) || retried === rules.retries || deadline.signal.aborted) {
        throw error;
      }
      const pauseMs = askedForMs(error.retryAfterMs ?? 0, deadline) + backoff.duration;
      backoff = backoff.next(undefined);
      // The budget comes last, so that only a retry that is made takes from it.
      if (pauseMs >= deadline.remainingMs || !budget.take()) {
        throw error;
      }
      // If the signal ends the pause, the next attempt fails at once with the reason.
      await sleep(pauseMs, undefined, { signal: deadline.signal }).catch(() => undefined);
    }
  }
}

/**
 * `Retry-After` and a random share of it. Otherwise all clients that were refused with the same value would come back
 * within 0.1 s. The share takes at most half of the time that the deadline leaves, so that the next attempt has the rest.
 */
function askedForMs(retryAfterMs: number, deadline: Deadline): number {
  const leftMs = Math.max(0, deadline.remainingMs - retryAfterMs);
  return retryAfterMs + Math.floor(Math.random() * Math.min(retryAfterMs * MOST_ADDED, leftMs / 2));
}

/**
 * Circuit breaker: opens after `failures` failed calls in a row, and allows one trial call after `resetMs`.
 * Refused calls (4xx) are answers, not failures. Calls shed by a busy service or ended by the caller are not
 * failures either: they are no evidence of an outage.
 */
export class Breaker {
  private readonly policy;
  private openedAt = 0;

  constructor(
    failures: number,
    private readonly resetMs: number,
    logger: Logger,
  ) {
    this.policy = circuitBreaker(
      handleWhen((error) => this.isFailure(error)),
      { halfOpenAfter: resetMs, breaker: new ConsecutiveBreaker(failures) },
    );
    this.policy.onBreak((broken) => {
      this.openedAt = Date.now();
      const why = 'error' in broken ? `: ${broken.error.message}` : '';
      logger.error(`Circuit open, no call for ${resetMs} ms${why}`);
    });
    this.policy.onHalfOpen(() => {
      logger.warn('Circuit half-open, trying one call');
    });
    this.policy.onReset(() => {
      logger.log('Circuit closed, the service answers again');
    });
  }

  /** State of the circuit. */
  get state(): CircuitState {
    switch (this.policy.state) {
      case State.Closed:
        return 'closed';
      case State.HalfOpen:
        return 'half_open';
      default:
        return 'open';
    }
  }

  /** Run `work`, unless the circuit is open. Throws its errors, or {@link AttemptFailed} `circuit_open`. */
  async run<T>(work: () => Promise<T>): Promise<T> {
    // Cockatiel would make further callers wait for the trial call.
    if (this.policy.state === State.HalfOpen) {
      throw new AttemptFailed('circuit_open', 'the circuit is half-open, and another call is trying');
    }
    try {
      return await this.policy.execute(work);
    } catch (error) {
      if (!isBrokenCircuitError(error)) {
        throw error;
      }
      const leftMs = Math.max(0, this.openedAt + this.resetMs - Date.now());
      throw new AttemptFailed('circuit_open', 'the circuit is open', leftMs);
    }
  }

  private isFailure(error: Error): boolean {
    if (!(error instanceof AttemptFailed)) {
      return false;
    }
    // A trial call ended by its caller is no evidence of recovery: the circuit stays open.
    const undecided = error.reason === 'aborted' && this.policy.state === State.HalfOpen;
    return undecided || !['aborted', 'overloaded'].includes(error.reason);
  }
}
