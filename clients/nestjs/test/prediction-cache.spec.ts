import { Logger } from '@nestjs/common';
import { Redis } from 'ioredis';
import { type MLClientOptions, MLClientService, orThrow } from '../src';
import { HttpProxy } from './support/http-proxy';
import { asked, eventually, newCharger } from './support/readings';
import { stack } from './support/stack';
import { TcpProxy } from './support/tcp-proxy';

const { url, apiKey, redisUrl } = stack();
// The service keeps to database 0 of its Redis: another one of it is a Redis of our own.
const OWN = `${redisUrl}/1`;
const SERVICES = `${redisUrl}/0`;

let proxy: HttpProxy;
const own = new Redis(OWN);
const services = new Redis(SERVICES);
const clients: MLClientService[] = [];

beforeEach(async () => {
  proxy = await HttpProxy.to(url);
});

afterEach(async () => {
  clients.splice(0).forEach((client) => {
    client.onModuleDestroy();
  });
  await proxy.down();
  await own.del('ml:client:versions');
});

afterAll(() => {
  own.disconnect();
  services.disconnect();
});

/** A client whose cache is connected: it answers from it, once it is. */
async function connected(options: MLClientOptions): Promise<MLClientService> {
  const ml = new MLClientService({ url: proxy.url, apiKey, retries: 0, cacheTimeoutMs: 1_000, ...options });
  clients.push(ml);
  await eventually(async () => {
    const answer = await ml.invalidateCache('nobody');
    return answer.status === 'ok' && answer.data.clientCache === 'forgotten';
  });
  proxy.seen.length = 0;
  return ml;
}

const keyOf = (charger: string) => `ml:prediction:failure:${charger}`;

describe('in a Redis of its own', () => {
  it('answers the same metrics again, without the service', async () => {
    const ml = await connected({ cacheRedisUrl: OWN });
    const request = asked(newCharger());
    const first = orThrow(await ml.predictFailure(request));
    const again = await ml.predictFailure(structuredClone(request));
    expect(again).toMatchObject({ status: 'ok', source: 'cache', stale: false });
    expect(orThrow(again)).toEqual({ ...first, cached: true });
    expect(proxy.seen).toHaveLength(1);
  });

  it('does not keep a degraded verdict', async () => {
    const ml = await connected({ cacheRedisUrl: OWN });
    const verdict = orThrow(await ml.predictFailure(asked(newCharger())));
    const request = asked(newCharger());
    const degraded = { ...verdict, charger_id: request.charger_id, degraded: true, fingerprint: null };
    const headers = { 'Content-Type': 'application/json' };
    proxy.next.push({ status: 200, headers, body: JSON.stringify(degraded) });
    expect(await ml.predictFailure(request)).toMatchObject({ source: 'service', data: { degraded: true } });
    expect(await ml.predictFailure(request)).toMatchObject({ source: 'service', data: { degraded: false } });
    expect(await ml.predictFailure(request)).toMatchObject({ source: 'cache' });
  });

  it('does not mind the order of fields, nor whether what is missing is null', async () => {
    const ml = await connected({ cacheRedisUrl: OWN });
    const charger = newCharger();
    const { metrics } = asked(charger);
    orThrow(await ml.predictFailure({ charger_id: charger, metrics }));
    const turned = Object.fromEntries(Object.entries({ ...metrics, uptime_hours: null }).reverse());
    const again = await ml.predictFailure({ charger_id: charger, metrics: turned as typeof metrics });
    expect(again).toMatchObject({ source: 'cache' });
  });

  it('asks the service about other metrics', async () => {
    const ml = await connected({ cacheRedisUrl: OWN });
    const charger = newCharger();
    const hot = orThrow(await ml.predictFailure(asked(charger)));
    const fault = await ml.predictFailure(asked(charger, { connector_status: 'FAULTY' }));
    expect(fault).toMatchObject({ source: 'service', data: { in_failure: true } });
    expect(hot.in_failure).toBe(false);
  });

  it('tells metrics apart as they are sent: a Date is its moment', async () => {
    const ml = await connected({ cacheRedisUrl: OWN });
    const charger = newCharger();
    const at = (minute: number) => new Date(Date.UTC(2026, 0, 5, 8, minute)) as unknown as string;
    orThrow(await ml.predictFailure(asked(charger, { timestamp: at(0) })));
    expect(await ml.predictFailure(asked(charger, { timestamp: at(0) }))).toMatchObject({ source: 'cache' });
    const later = await ml.predictFailure(asked(charger, { timestamp: at(1) }));
    expect(later).toMatchObject({
      source: 'service',
      data: { reading_timestamp: '2026-01-05T08:01:00.000Z' },
    });
  });

  it('keeps the prediction under the key of the contract, for an hour, by tenant', async () => {
    const ml = await connected({ cacheRedisUrl: OWN });
    const charger = newCharger();
    const prediction = orThrow(await ml.predictFailure(asked(charger)));
    const kept = JSON.parse((await own.get(keyOf(charger))) ?? '') as object;
    expect(kept).toMatchObject(prediction);
    const ttlS = await own.ttl(keyOf(charger));
    expect(ttlS).toBeGreaterThan(3_500);
    expect(ttlS).toBeLessThanOrEqual(3_600);
    orThrow(await ml.predictFailure(asked(charger), { tenantId: 'acme' }));
    expect(await own.exists(`ml:tenant:acme:prediction:failure:${charger}`)).toBe(1);
  });

  it('keeps it as long as the setting says, and each kind by itself', async () => {
    const ml = await connected({ cacheRedisUrl: OWN, cacheTtlFailureS: 7, cacheTtlMaintenanceS: 5 });
    const charger = newCharger();
    orThrow(await ml.predictFailure(asked(charger)));
    orThrow(await ml.predictMaintenance(asked(charger)));
    orThrow(await ml.detectAnomaly(asked(charger)));
    expect(await own.ttl(keyOf(charger))).toBeLessThanOrEqual(7);
    expect(await own.ttl(`ml:prediction:maintenance:${charger}`)).toBeLessThanOrEqual(5);
    expect(await own.ttl(`ml:prediction:anomaly:${charger}`)).toBeLessThanOrEqual(300);
  });

  it('forgets a charger on demand, here and on the service', async () => {
    const ml = await connected({ cacheRedisUrl: OWN });
    const charger = newCharger();
    orThrow(await ml.predictFailure(asked(charger)));
    expect(orThrow(await ml.invalidateCache(charger))).toEqual({ clientCache: 'forgotten' });
    expect(await own.exists(keyOf(charger))).toBe(0);
    expect(await services.exists(keyOf(charger))).toBe(0);
    expect(orThrow(await ml.getCachedPrediction(charger))).toBeNull();
  });

  it('does not answer with the verdict of a model that has been replaced', async () => {
    const ml = await connected({ cacheRedisUrl: OWN });
    const request = asked(newCharger());
    const first = orThrow(await ml.predictFailure(request));
    await own.hset('ml:client:versions', 'failure', 'a-newer-one'); // as after an answer of that version
    const again = await ml.predictFailure(request);
    expect(again).toMatchObject({ source: 'service', data: { model_version: first.model_version } });
    // The service answered with the old version again, so that is the one in force.
    expect(await ml.predictFailure(request)).toMatchObject({ source: 'cache' });
  });

  it('never replaces a newer reading by an older one', async () => {
    const ml = await connected({ cacheRedisUrl: OWN });
    const charger = newCharger();
    const newer = orThrow(await ml.predictFailure(asked(charger, { timestamp: '2026-02-02T00:00:00Z' })));
    orThrow(await ml.predictFailure(asked(charger, { timestamp: '2026-01-01T00:00:00Z' })));
    const cached = orThrow(await ml.getCachedPrediction(charger));
    expect(cached?.reading_timestamp).toBe(newer.reading_timestamp);
  });

  it('takes garbage for nothing', async () => {
    const ml = await connected({ cacheRedisUrl: OWN });
    const charger = newCharger();
    for (const garbage of ['', 'no json', 'null', '[]', '{"charger_id":"another","model_version":"v"}']) {
      await own.set(keyOf(charger), garbage);
      expect(orThrow(await ml.getCachedPrediction(charger))).toBeNull();
    }
    expect(await ml.predictFailure(asked(charger))).toMatchObject({ status: 'ok', source: 'service' });
    await own.del(keyOf(charger));
    await own.lpush(keyOf(charger), 'not a string');
    expect(await ml.predictFailure(asked(charger))).toMatchObject({ status: 'ok', source: 'service' });
  });
});

describe('in an outage', () => {
  it('answers with the last prediction, marked stale, and with fresh ones afterwards', async () => {
    const ml = await connected({ cacheRedisUrl: OWN });
    const charger = newCharger();
    const last = orThrow(await ml.predictFailure(asked(charger)));
    await proxy.down();
    const answer = await ml.predictFailure(asked(charger, { temperature: 20 }));
    expect(answer).toMatchObject({ status: 'unavailable', reason: 'unreachable', stale: true });
    expect(answer.status === 'unavailable' && answer.data).toEqual({ ...last, cached: true });
    expect(await ml.predictFailure(asked(newCharger()))).toMatchObject({ data: null, stale: false });

    await proxy.up();
    const fresh = await ml.predictFailure(asked(charger, { temperature: 20 }));
    expect(fresh).toMatchObject({ status: 'ok', source: 'service', stale: false });
  });

  it('still answers the very same metrics as if nothing were', async () => {
    const ml = await connected({ cacheRedisUrl: OWN });
    const request = asked(newCharger());
    orThrow(await ml.predictFailure(request));
    await proxy.down();
    expect(await ml.predictFailure(request)).toMatchObject({ status: 'ok', source: 'cache' });
    expect(await ml.getCachedPrediction(request.charger_id)).toMatchObject({ status: 'ok', source: 'cache' });
  });

  it('has stale schedules and anomaly verdicts too', async () => {
    const ml = await connected({ cacheRedisUrl: OWN });
    const charger = newCharger();
    orThrow(await ml.predictMaintenance(asked(charger)));
    orThrow(await ml.detectAnomaly(asked(charger)));
    await proxy.down();
    const other = asked(charger, { temperature: 20 });
    expect(await ml.predictMaintenance(other)).toMatchObject({ stale: true, data: { charger_id: charger } });
    expect(await ml.detectAnomaly(other)).toMatchObject({ stale: true, data: { charger_id: charger } });
  });

  it('answers stale while the circuit is open, and when the service is switched off', async () => {
    const ml = await connected({ cacheRedisUrl: OWN, breakerFailures: 1 });
    const charger = newCharger();
    orThrow(await ml.predictFailure(asked(charger)));
    await proxy.down();
    const other = asked(charger, { temperature: 20 });
    await ml.predictFailure(other);
    expect(await ml.predictFailure(other)).toMatchObject({ reason: 'circuit_open', stale: true });
    const off = new MLClientService({ enabled: false, cacheRedis: own });
    const switchedOff = await off.predictFailure(asked(charger));
    expect(switchedOff).toMatchObject({ reason: 'disabled', stale: true, data: { charger_id: charger } });
    const cached = await off.getCachedPrediction(charger);
    expect(cached).toMatchObject({ reason: 'disabled', stale: true, data: { charger_id: charger } });
  });
});

describe('in the Redis of the service', () => {
  it('reads what the service has cached, and answers stale from it', async () => {
    const ml = await connected({ cacheRedisUrl: SERVICES, cacheShared: true });
    const charger = newCharger();
    const prediction = orThrow(await ml.predictFailure(asked(charger)));
    proxy.seen.length = 0;
    const cached = await ml.getCachedPrediction(charger);
    expect(cached).toMatchObject({ source: 'cache', data: { fingerprint: prediction.fingerprint } });
    expect(proxy.seen).toHaveLength(0);
    await proxy.down();
    expect(await ml.predictFailure(asked(charger))).toMatchObject({
      status: 'unavailable',
      stale: true,
      data: { fingerprint: prediction.fingerprint },
    });
  });

  it('never writes there, even if nobody has said that it is shared', async () => {
    const warn = jest.spyOn(Logger.prototype, 'warn');
    const ml = await connected({ cacheRedisUrl: SERVICES });
    const chargers = [newCharger(), newCharger()];
    for (const charger of chargers) {
      orThrow(await ml.predictFailure(asked(charger)));
      // What is there is the service's own: it carries nothing of ours.
      expect(JSON.parse((await services.get(keyOf(charger))) ?? '{}')).not.toHaveProperty(
        'client_metrics_digest',
      );
    }
    expect(await services.exists('ml:client:versions')).toBe(0);
    expect(warn.mock.calls.filter(([said]) => String(said).includes('ML_CACHE_SHARED'))).toHaveLength(1);
    warn.mockRestore();
  });

  it('deletes there, also while the service cannot be reached', async () => {
    const ml = await connected({ cacheRedisUrl: SERVICES, cacheShared: true });
    const charger = newCharger();
    orThrow(await ml.predictFailure(asked(charger)));
    await proxy.down();
    expect((await ml.invalidateCache(charger)).status).toBe('unavailable');
    expect(await services.exists(keyOf(charger))).toBe(0);
  });
});

describe('trouble with Redis', () => {
  const { hostname, port } = new URL(redisUrl);
  let redis: TcpProxy;

  beforeEach(async () => {
    redis = await TcpProxy.to(hostname, Number(port));
  });

  afterEach(async () => {
    await redis.down();
  });

  it('fails no call where there is no Redis, and is logged once', async () => {
    const warn = jest.spyOn(Logger.prototype, 'warn');
    await redis.down();
    const ml = new MLClientService({ url, apiKey, cacheRedisUrl: `redis://${redis.address}/1` });
    clients.push(ml);
    for (let call = 0; call < 5; call += 1) {
      expect(await ml.predictFailure(asked(newCharger()))).toMatchObject({ status: 'ok', source: 'service' });
    }
    await eventually(() => warn.mock.calls.length > 0);
    expect(warn).toHaveBeenCalledTimes(1);
    expect(orThrow(await ml.invalidateCache('nobody'))).toEqual({ clientCache: 'unreachable' });
    warn.mockRestore();
  });

  it('delays one call in a second by its own time-out at most, where Redis is mute', async () => {
    const ml = await connected({ cacheRedisUrl: `redis://${redis.address}/1`, cacheTimeoutMs: 1_000 });
    redis.mute = true;
    const waits: number[] = [];
    for (let call = 0; call < 5; call += 1) {
      const began = performance.now();
      const request = asked(newCharger());
      expect(await ml.predictFailure(request)).toMatchObject({ status: 'ok', source: 'service' });
      waits.push(performance.now() - began);
    }
    // The first finds out. Those that follow leave it alone: asking, each would wait as long again.
    expect(Math.max(...waits)).toBeLessThan(5_000);
    expect(waits.slice(1).filter((waited) => waited >= 1_000).length).toBeLessThan(waits.length - 1);
  });

  it('ends when Redis is back', async () => {
    const [log, warn] = [jest.spyOn(Logger.prototype, 'log'), jest.spyOn(Logger.prototype, 'warn')];
    const ml = await connected({ cacheRedisUrl: `redis://${redis.address}/1` });
    await redis.down();
    const request = asked(newCharger());
    expect(await ml.predictFailure(request)).toMatchObject({ source: 'service' });
    await eventually(() => warn.mock.calls.length > 0);
    await redis.up();
    await eventually(async () => {
      const answer = await ml.predictFailure(request);
      return answer.status === 'ok' && answer.source === 'cache';
    });
    expect(log.mock.calls.map(([said]) => String(said))).toContain('The cache is back');
    jest.restoreAllMocks();
  });
});
