import { setTimeout as sleep } from 'node:timers/promises';
import { type MLClientOptions, MLClientService, MLUnavailableError, orThrow } from '../src';
import { HttpProxy } from './support/http-proxy';
import { asked, eventually, newCharger, reading } from './support/readings';
import { stack } from './support/stack';

const { url, apiKey } = stack();
const FAILURES = 5;

let proxy: HttpProxy;

beforeEach(async () => {
  proxy = await HttpProxy.to(url);
});

afterEach(async () => {
  await proxy.down();
});

function client(options: MLClientOptions = {}): MLClientService {
  return new MLClientService({ url: proxy.url, apiKey, retryDelayMs: 5, ...options });
}

describe('a call that fails', () => {
  it.each(['reset', 'cut', { status: 500 }, { status: 503 }, { status: 504 }, { status: 429 }] as const)(
    'is tried again, and its caller notices nothing: %j',
    async (fate) => {
      proxy.next.push(fate, fate);
      const answer = await client().predictFailure(asked(newCharger()));
      expect(answer).toMatchObject({ status: 'ok', source: 'service' });
      expect(proxy.seen).toHaveLength(3);
    },
  );

  it('is tried so often and no more', async () => {
    proxy.fate = { status: 500 };
    const answer = await client({ retries: 3 }).predictFailure(asked(newCharger()));
    expect(answer).toMatchObject({
      status: 'unavailable',
      reason: 'service_error',
      data: null,
      stale: false,
    });
    expect(proxy.seen).toHaveLength(4);
  });

  it('is sent once when the budget of all calls is used', async () => {
    proxy.fate = { status: 503, body: '{"code":"queue_full"}' };
    const ml = client({ retries: 3, retryRatio: 0.25, retryReserve: 2 });
    const sent: number[] = [];
    for (let call = 0; call < 5; call += 1) {
      const before = proxy.seen.length;
      expect(await ml.predictFailure(asked(newCharger()))).toMatchObject({ reason: 'overloaded' });
      sent.push(proxy.seen.length - before);
    }
    expect(sent).toEqual([3, 1, 1, 1, 2]);
  });

  it.each([
    ['reset', 'unreachable'],
    ['cut', 'unreachable'],
    [{ status: 504 }, 'timeout'],
    [{ status: 429 }, 'overloaded'],
    [{ status: 503, body: '{"code":"queue_full"}' }, 'overloaded'],
    [{ status: 507, body: '{"code":"insufficient_storage"}' }, 'overloaded'],
    [{ status: 502, body: '<html>' }, 'service_error'],
    [{ status: 200, body: '<html>' }, 'service_error'],
    [{ status: 200, body: 'null' }, 'service_error'],
    [{ status: 302, headers: { Location: '/elsewhere' } }, 'unreachable'],
  ] as const)('says why in the end: %j is %s', async (fate, reason) => {
    proxy.fate = fate;
    expect(await client().predictFailure(asked(newCharger()))).toMatchObject({
      status: 'unavailable',
      reason,
    });
  });

  it('is not tried again when the service has refused it', async () => {
    await client().predictFailure(asked(newCharger(), { temperature: 9_999 }));
    expect(proxy.seen).toHaveLength(1);
  });

  it('sends a batch again under the same key, so that there is one job', async () => {
    proxy.next.push('cut');
    const answer = await client().submitBatch({ chargers: [reading(newCharger())] });
    expect(answer.status).toBe('ok');
    const keys = proxy.seen.map(({ headers }) => headers['idempotency-key']);
    expect(keys).toHaveLength(2);
    expect(new Set(keys).size).toBe(1);
  });

  it('asks the service to wait for a batch no longer than there is time', async () => {
    proxy.next.push({ status: 503, headers: { 'Retry-After': '1' } });
    const answer = await client().batchPredictions({ chargers: [reading(newCharger())] });
    expect(answer).toMatchObject({ status: 'ok', data: { completed: true } });
    const waits = proxy.seen.map(({ headers }) => headers.prefer);
    expect(waits).toEqual(['wait=4', 'wait=3']);
  });

  it.each([503, 429])('comes back when the service asks, not before: %i', async (status) => {
    proxy.next.push({ status, headers: { 'Retry-After': '1' } });
    const began = performance.now();
    expect((await client().predictFailure(asked(newCharger()))).status).toBe('ok');
    expect(performance.now() - began).toBeGreaterThanOrEqual(1_000);
  });

  it('does not wait for what would come too late', async () => {
    proxy.fate = { status: 503, headers: { 'Retry-After': '30' } };
    const began = performance.now();
    const answer = await client({ timeoutMs: 5_000 }).predictFailure(asked(newCharger()));
    expect(answer).toMatchObject({ status: 'unavailable', retryAfterMs: 30_000 });
    expect(performance.now() - began).toBeLessThan(5_000);
    expect(proxy.seen).toHaveLength(1);
  });

  it('ends at its time-out, however mute the service is', async () => {
    proxy.fate = 'mute';
    const began = performance.now();
    const answer = await client({ timeoutMs: 300 }).predictFailure(asked(newCharger()));
    expect(answer).toMatchObject({ status: 'unavailable', reason: 'timeout' });
    const tookMs = performance.now() - began;
    expect(tookMs).toBeGreaterThanOrEqual(299);
    expect(tookMs).toBeLessThan(5_000);
  });

  it('counts retries into that time', async () => {
    proxy.next.push('reset');
    proxy.fate = 'mute';
    const began = performance.now();
    const answer = await client({ timeoutMs: 300 }).predictFailure(asked(newCharger()));
    expect(answer).toMatchObject({ status: 'unavailable', reason: 'timeout' });
    expect(performance.now() - began).toBeLessThan(5_000);
    expect(proxy.seen).toHaveLength(2);
  });

  it.each([undefined, null, 'enough'])('ends when its caller wants no more, and says %j', async (why) => {
    proxy.fate = 'mute';
    const caller = new AbortController();
    const ml = client({ breakerFailures: 1 });
    const answer = ml.predictFailure(asked(newCharger()), { signal: caller.signal });
    await eventually(() => proxy.seen.length === 1);
    caller.abort(why);
    expect(await answer).toMatchObject({ status: 'unavailable', reason: 'aborted' });
    expect(ml.circuitState).toBe('closed');
  });

  it('is ended by its caller, and not by its own time-out, where the caller has one', async () => {
    proxy.fate = 'mute';
    const ml = client({ breakerFailures: 1 });
    const answer = await ml.listModels({ signal: AbortSignal.timeout(50) });
    expect(answer).toMatchObject({ reason: 'aborted' });
    expect(ml.circuitState).toBe('closed');
  });

  it('throws where exceptions are asked for', async () => {
    await proxy.down();
    await expect(client({ throwErrors: true }).listModels()).rejects.toThrow(MLUnavailableError);
    await expect(client().listModels({ throwErrors: true })).rejects.toThrow(/ECONNREFUSED/);
  });
});

describe('the circuit', () => {
  async function fail(ml: MLClientService, times: number): Promise<void> {
    for (let call = 0; call < times; call += 1) {
      expect((await ml.predictFailure(asked(newCharger()))).status).toBe('unavailable');
    }
  }

  it('opens after 5 calls in a row have failed; then nothing is sent', async () => {
    const ml = client({ retries: 0 });
    await proxy.down();
    await fail(ml, FAILURES - 1);
    expect(ml.circuitState).toBe('closed');
    await fail(ml, 1);
    expect(ml.circuitState).toBe('open');

    await proxy.up();
    const answer = await ml.predictFailure(asked(newCharger()));
    expect(answer).toMatchObject({ status: 'unavailable', reason: 'circuit_open' });
    expect(answer.status === 'unavailable' && answer.retryAfterMs).toBeGreaterThan(50_000);
    expect(proxy.seen).toHaveLength(0);
  });

  it('stays closed where a call in between has been answered', async () => {
    const ml = client({ retries: 0 });
    proxy.next.push('reset', 'reset', 'reset', 'reset', 'pass', 'reset', 'reset', 'reset', 'reset');
    await fail(ml, FAILURES - 1);
    expect((await ml.predictFailure(asked(newCharger()))).status).toBe('ok');
    await fail(ml, FAILURES - 1);
    expect(ml.circuitState).toBe('closed');
  });

  it('counts a call, not its tries', async () => {
    const ml = client({ retries: 2 });
    proxy.fate = { status: 500 };
    await fail(ml, FAILURES - 1);
    expect(ml.circuitState).toBe('closed');
    await fail(ml, 1);
    expect(ml.circuitState).toBe('open');
    expect(proxy.seen).toHaveLength(3 * FAILURES);
  });

  it.each([{ status: 429 }, { status: 503, body: '{"code":"queue_full"}' }])(
    'stays closed while the service is there and asks for patience: %j',
    async (fate) => {
      const ml = client({ retries: 0 });
      proxy.fate = fate;
      await fail(ml, 2 * FAILURES);
      expect(ml.circuitState).toBe('closed');
    },
  );

  it('stays closed while requests are refused: the service is there', async () => {
    const ml = client();
    for (let call = 0; call < 2 * FAILURES; call += 1) {
      expect((await ml.getJob('none')).status).toBe('rejected');
    }
    expect(ml.circuitState).toBe('closed');
  });

  it('lets one call try after a while, and closes when it is answered', async () => {
    const ml = client({ retries: 0, breakerResetMs: 300 });
    await proxy.down();
    await fail(ml, FAILURES);
    await proxy.up();
    expect((await ml.listModels()).status).toBe('unavailable');
    await sleep(301);
    expect((await ml.listModels()).status).toBe('ok');
    expect(ml.circuitState).toBe('closed');
    expect((await ml.listModels()).status).toBe('ok');
  });

  it('stays open when that call fails too, and others do not wait for it', async () => {
    const ml = client({ retries: 0, breakerResetMs: 300, timeoutMs: 1_000 });
    await proxy.down();
    await fail(ml, FAILURES);
    await proxy.up();
    proxy.fate = 'mute';
    await sleep(301);
    const trial = ml.listModels();
    await eventually(() => proxy.seen.length === 1);
    expect(ml.circuitState).toBe('half_open');
    expect(await ml.listModels()).toMatchObject({ status: 'unavailable', reason: 'circuit_open' });
    expect(ml.circuitState).toBe('half_open'); // that call is still trying
    expect(proxy.seen).toHaveLength(1);
    expect(await trial).toMatchObject({ status: 'unavailable', reason: 'timeout' });
    expect(ml.circuitState).toBe('open');
  });

  it('stays open when the caller of that call has ended it', async () => {
    const ml = client({ retries: 0, breakerResetMs: 300 });
    await proxy.down();
    await fail(ml, FAILURES);
    await proxy.up();
    proxy.fate = 'mute';
    await sleep(301);
    const caller = new AbortController();
    const trial = ml.listModels({ signal: caller.signal });
    await eventually(() => proxy.seen.length === 1);
    caller.abort();
    expect(await trial).toMatchObject({ reason: 'aborted' });
    expect(ml.circuitState).toBe('open');
  });

  it('is told in the health check, which asks the service whatever it says', async () => {
    const ml = client({ retries: 0 });
    await proxy.down();
    expect(await ml.healthCheck()).toMatchObject({ status: 'unavailable', circuit: 'closed', service: null });
    await fail(ml, FAILURES);
    expect((await ml.healthCheck()).message).toContain('ECONNREFUSED');
    await proxy.up();
    expect(await ml.healthCheck()).toMatchObject({ status: 'healthy', circuit: 'open' });
  });
});

describe('a stream of events', () => {
  it('is taken up again when its connection breaks', async () => {
    const ml = client({ timeoutMs: 20_000 });
    const chargers = Array.from({ length: 500 }, () => reading(newCharger()));
    const { job_id } = orThrow(await ml.submitBatch({ chargers }));
    proxy.next.push('cut', 'reset');
    const types: string[] = [];
    for await (const event of ml.streamJob(job_id)) {
      types.push(event.type);
    }
    expect(types.at(-1)).toBe('done');
    expect(proxy.seen.filter(({ line }) => line.endsWith('/events')).length).toBeGreaterThanOrEqual(3);
  });

  it('says when the service cannot be reached', async () => {
    const ml = client();
    await proxy.down();
    const events = [];
    for await (const event of ml.streamJob('any')) {
      events.push(event);
    }
    expect(events).toMatchObject([{ type: 'unavailable', answer: { reason: 'unreachable' } }]);
    await expect(ml.streamJob('any', { throwErrors: true })[Symbol.asyncIterator]().next()).rejects.toThrow(
      MLUnavailableError,
    );
  });

  it('ends with its caller', async () => {
    const ml = client();
    const chargers = Array.from({ length: 20_000 }, () => reading(newCharger()));
    const job = orThrow(await ml.submitBatch({ chargers }, { kind: 'all', timeoutMs: 20_000 }));
    for await (const event of ml.streamJob(job.job_id)) {
      expect(event.type).toBe('progress');
      break;
    }
    const caller = new AbortController();
    const types: string[] = [];
    for await (const event of ml.streamJob(job.job_id, { signal: caller.signal })) {
      types.push(event.type);
      caller.abort();
    }
    expect(types.at(-1)).toBe('unavailable');
    orThrow(await ml.cancelJob(job.job_id));
  });
});

describe('a service that is switched off', () => {
  it('needs no address and is not called', async () => {
    const ml = new MLClientService({ enabled: false });
    expect(await ml.predictFailure(asked(newCharger()))).toMatchObject({
      status: 'unavailable',
      reason: 'disabled',
      data: null,
    });
    expect(await ml.healthCheck()).toMatchObject({ status: 'disabled' });
  });
});
