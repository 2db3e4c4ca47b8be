import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from '@nestjs/common';
import {
  circuitBreaker,
  CircuitState as State,
  ConsecutiveBreaker,
  ExponentialBackoff,
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
 * Call `attempt` until it succeeds, at most `retries` + 1 times. Pauses are exponential with jitter, in addition
 * to `Retry-After`. Throws the last {@link AttemptFailed}, at once if the next pause would pass the deadline.
 */
export async function withRetries<T>(
  attempt: () => Promise<T>,
  deadline: Deadline,
  rules: RetryRules,
): Promise<T> {
  let backoff = new ExponentialBackoff({ initialDelay: rules.delayMs, maxDelay: rules.maxDelayMs }).next();
  for (let retried = 0; ; retried += 1) {
    try {
      return await attempt();
    } catch (error) {
      if (!(error instanceof AttemptFailed) || retried === rules.retries || deadline.signal.aborted) {
        throw error;
      }
      // Added to `Retry-After`: otherwise all clients with the same value would retry at the same moment.
      const pauseMs = (error.retryAfterMs ?? 0) + backoff.duration;
      backoff = backoff.next(undefined);
      if (pauseMs >= deadline.remainingMs) {
        throw error;
      }
      // If the signal ends the pause, the next attempt fails at once with the reason.
      await sleep(pauseMs, undefined, { signal: deadline.signal }).catch(() => undefined);
    }
  }
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
