import { setTimeout as sleep } from 'node:timers/promises';
import { Deadline } from '../src/deadline';
import { RetryBudget, withRetries } from '../src/policies';
import { AttemptFailed, retryAfterMs } from '../src/transport';

const RULES = { retries: 3, delayMs: 1, maxDelayMs: 5 };
const timers = jest.requireActual<typeof import('node:timers/promises')>('node:timers/promises');
const plenty = () => new RetryBudget(0, 100);

describe('withRetries', () => {
  let deadline: Deadline;

  beforeEach(() => {
    deadline = new Deadline(10_000);
  });

  afterEach(() => {
    deadline.clear();
  });

  it('throws the last failure when all tries have failed', async () => {
    let tries = 0;
    const attempt = () => Promise.reject(new AttemptFailed('unreachable', `try ${(tries += 1)}`));
    await expect(withRetries(attempt, deadline, RULES, plenty())).rejects.toThrow('try 4');
  });

  it('does not repeat what is a bug', async () => {
    let tries = 0;
    const attempt = () => Promise.reject(new TypeError(`try ${(tries += 1)}`));
    await expect(withRetries(attempt, deadline, RULES, plenty())).rejects.toThrow('try 1');
  });

  it('pauses no longer than the deadline allows', async () => {
    const began = performance.now();
    const attempt = () => Promise.reject(new AttemptFailed('overloaded', 'busy', 60_000));
    await expect(withRetries(attempt, deadline, RULES, plenty())).rejects.toThrow('busy');
    expect(performance.now() - began).toBeLessThan(10_000);
  });

  it('ends a pause when its caller ends the call', async () => {
    const caller = new AbortController();
    const long = new Deadline(60_000, caller.signal);
    let tries = 0;
    const attempt = () => {
      tries += 1;
      return Promise.reject(
        caller.signal.aborted
          ? new AttemptFailed('aborted', 'ended')
          : new AttemptFailed('overloaded', 'busy', 30_000),
      );
    };
    const call = withRetries(attempt, long, RULES, plenty());
    setImmediate(() => {
      caller.abort();
    });
    await expect(call).rejects.toThrow('ended');
    expect(tries).toBe(2);
    long.clear();
  });
});

describe('the retry budget', () => {
  it('begins with its reserve, and each call adds a part of a retry', () => {
    const budget = new RetryBudget(0.1, 2);
    expect([budget.take(), budget.take(), budget.take()]).toEqual([true, true, false]);
    for (let call = 0; call < 9; call += 1) {
      budget.addCall();
    }
    expect(budget.take()).toBe(false);
    budget.addCall();
    expect([budget.take(), budget.take()]).toEqual([true, false]);
  });

  it('saves no more than its reserve', () => {
    const budget = new RetryBudget(0.5, 2);
    for (let call = 0; call < 100; call += 1) {
      budget.addCall();
    }
    expect(budget.left).toBe(2);
  });

  it('lets calls that fail be tried once when it is used', async () => {
    const budget = new RetryBudget(0.25, 2);
    const tries: number[] = [];
    for (let call = 0; call < 8; call += 1) {
      let own = 0;
      const attempt = () => {
        own += 1;
        return Promise.reject(new AttemptFailed('overloaded', 'busy'));
      };
      const deadline = new Deadline(10_000);
      await expect(withRetries(attempt, deadline, RULES, budget)).rejects.toThrow('busy');
      deadline.clear();
      tries.push(own);
    }
    expect(tries).toEqual([3, 1, 1, 1, 2, 1, 1, 1]);
  });

  it('loses nothing to a retry that the deadline forbids', async () => {
    const budget = new RetryBudget(0, 1);
    const deadline = new Deadline(1_000);
    const attempt = () => Promise.reject(new AttemptFailed('overloaded', 'busy', 3_600_000));
    await expect(withRetries(attempt, deadline, RULES, budget)).rejects.toThrow('busy');
    deadline.clear();
    expect(budget.left).toBe(1);
  });
});

describe('pauses', () => {
  afterEach(() => {
    jest.restoreAllMocks();
  });

  it.each([
    [0, [0, 0, 0]],
    [0.5, [50, 100, 200]],
    [0.999, [99, 199, 399]],
  ])('are spread from 0 to a limit that doubles: %d', async (random, limits) => {
    const expected = limits.map((ms) => ms + Math.floor(random * 500));
    jest.spyOn(Math, 'random').mockReturnValue(random);
    const pause = jest.spyOn(timers, 'setTimeout').mockResolvedValue(undefined);
    const deadline = new Deadline(60_000);
    const attempt = () => Promise.reject(new AttemptFailed('overloaded', 'busy', 1_000));
    const rules = { retries: 3, delayMs: 100, maxDelayMs: 2_000 };
    await expect(withRetries(attempt, deadline, rules, plenty())).rejects.toThrow('busy');
    deadline.clear();
    expect(pause.mock.calls.map(([ms]) => (ms ?? 0) - 1_000)).toEqual(expected);
  });
});

describe('the pause after Retry-After', () => {
  afterEach(() => {
    jest.restoreAllMocks();
  });

  async function pauseMs(
    random: number,
    retryAfterMs: number,
    timeoutMs: number,
  ): Promise<number | undefined> {
    jest.spyOn(Math, 'random').mockReturnValue(random);
    const pause = jest.spyOn(timers, 'setTimeout').mockResolvedValue(undefined);
    const deadline = new Deadline(timeoutMs);
    const attempt = () => Promise.reject(new AttemptFailed('overloaded', 'busy', retryAfterMs));
    const rules = { retries: 1, delayMs: 0, maxDelayMs: 0 };
    await expect(withRetries(attempt, deadline, rules, plenty())).rejects.toThrow('busy');
    deadline.clear();
    return pause.mock.calls[0]?.[0];
  }

  it.each([
    [0, 4_000],
    [0.5, 5_000],
    [0.999, 5_998],
  ])('has a random share of it on top: %d', async (random, expected) => {
    expect(await pauseMs(random, 4_000, 60_000)).toBe(expected);
  });

  it('leaves the next attempt half of the time that is left', async () => {
    const ms = await pauseMs(0.999, 4_000, 5_000);
    expect(ms).toBeGreaterThanOrEqual(4_000);
    expect(ms).toBeLessThanOrEqual(4_500);
  });

  it('is not begun where Retry-After itself passes the deadline', async () => {
    expect(await pauseMs(0, 5_001, 5_000)).toBeUndefined();
  });
});

describe('Deadline', () => {
  it('can be put off, and called off', async () => {
    const deadline = new Deadline(20);
    deadline.restart(60_000);
    await sleep(40);
    expect(deadline.signal.aborted).toBe(false);
    expect(deadline.remainingMs).toBeGreaterThan(50_000);
    deadline.restart(20);
    deadline.clear();
    await sleep(40);
    expect(deadline.signal.aborted).toBe(false);
  });
});

describe('Retry-After', () => {
  it.each([
    ['2', 2_000],
    ['0', 0],
    ['Wed, 21 Oct 2026 07:28:03 GMT', 3_000],
    ['Wed, 21 Oct 2020 07:28:03 GMT', 0],
    ['soon', null],
    ['', null],
    [null, null],
  ])('%j is %j ms', (value, ms) => {
    expect(retryAfterMs(value, Date.parse('2026-10-21T07:28:00Z'))).toBe(ms);
  });
});
