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

/** `open`: no call is sent. `half_open`: one is under way, and decides. */
export type CircuitState = 'closed' | 'open' | 'half_open';

/** How often to try again, and the first and the longest pause between two tries. */
export interface RetryRules {
  retries: number;
  delayMs: number;
  maxDelayMs: number;
}

/**
 * Call `attempt` until it brings a reply: with pauses that double, with jitter, and never shorter than the
 * service asked for. Gives up at once when the next pause would outlast the deadline, for sleeping until then
 * helps nobody. Throws the last {@link AttemptFailed}.
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
      // On top of what the service asks for, or all that it asked would come back in the same moment.
      const pauseMs = (error.retryAfterMs ?? 0) + backoff.duration;
      backoff = backoff.next(undefined);
      if (pauseMs >= deadline.remainingMs) {
        throw error;
      }
      // Ended early by the signal, the next attempt fails at once and says why.
      await sleep(pauseMs, undefined, { signal: deadline.signal }).catch(() => undefined);
    }
  }
}

/**
 * Opens after so many calls in a row have failed, and lets one try again after a while. A call that is refused
 * (4xx) is answered, hence no failure; one that is shed by a busy service, or ended by its caller, says nothing
 * about whether the service is there and counts neither way.
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

  /** Do `work`, unless the circuit is open. Throws what it throws, or {@link AttemptFailed} `circuit_open`. */
  async run<T>(work: () => Promise<T>): Promise<T> {
    // Cockatiel would have further callers wait for the one that tries.
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
    // A trial that its caller ended proves nothing: the circuit stays open.
    const undecided = error.reason === 'aborted' && this.policy.state === State.HalfOpen;
    return undecided || !['aborted', 'overloaded'].includes(error.reason);
  }
}
