import { setTimeout as sleep } from 'node:timers/promises';
import { Deadline } from '../src/deadline';
import { withRetries } from '../src/policies';
import { AttemptFailed, retryAfterMs } from '../src/transport';

const RULES = { retries: 3, delayMs: 1, maxDelayMs: 5 };

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
    await expect(withRetries(attempt, deadline, RULES)).rejects.toThrow('try 4');
  });

  it('does not repeat what is a bug', async () => {
    let tries = 0;
    const attempt = () => Promise.reject(new TypeError(`try ${(tries += 1)}`));
    await expect(withRetries(attempt, deadline, RULES)).rejects.toThrow('try 1');
  });

  it('pauses no longer than the deadline allows', async () => {
    const began = performance.now();
    const attempt = () => Promise.reject(new AttemptFailed('overloaded', 'busy', 60_000));
    await expect(withRetries(attempt, deadline, RULES)).rejects.toThrow('busy');
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
    const call = withRetries(attempt, long, RULES);
    setImmediate(() => {
      caller.abort();
    });
    await expect(call).rejects.toThrow('ended');
    expect(tries).toBe(2);
    long.clear();
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
