import { createHash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from '@nestjs/common';
import { Redis } from 'ioredis';
import { encoded } from './json';
import { VERDICT_KINDS, type Metrics, type VerdictKind, type Verdicts } from './types';

/** Model versions, written by the service's workers. The key exists only in the service's Redis. */
const SERVICE_VERSIONS_KEY = 'ml:models:versions';
/** Model versions of the service's last answers, written by clients that share a cache of their own. */
const CLIENT_VERSIONS_KEY = 'ml:client:versions';
/** Field of a cached verdict with the digest of its metrics. The service does not use it. */
const DIGEST_FIELD = 'client_metrics_digest';
/** Pause after a Redis error. During it no call waits for Redis. */
const PAUSE_MS = 1_000;
const RECONNECT_MS = 2_000;

// Atomic: never write to the service's Redis, and never replace a newer reading by an older one. Times are
// RFC 3339 in UTC with milliseconds, so string order is time order.
const STORE = `
if redis.call('EXISTS', KEYS[3]) == 1 then return 'shared' end
redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
local held = redis.call('GET', KEYS[1])
if held then
  local read, verdict = pcall(cjson.decode, held)
  local its = read and type(verdict) == 'table' and verdict.reading_timestamp
  if type(its) == 'string' and its > ARGV[3] then return 'older' end
end
redis.call('SET', KEYS[1], ARGV[4], 'EX', ARGV[5])
return 'stored'`;

/** Cached verdict on a charger. `inForce`: made by the current model version, as far as is known. */
export interface Cached<K extends VerdictKind> {
  verdict: Verdicts[K];
  metricsDigest: string | null;
  inForce: boolean;
}

/** Rules of the cache. */
export interface CacheRules {
  /** The service uses this Redis too. The cache then reads and deletes, and never writes. */
  shared: boolean;
  timeoutMs: number;
  ttlS: Record<VerdictKind, number>;
}

/**
 * Cache of verdicts in Redis, under the service's keys (`ml:prediction:failure:{chargerId}`).
 *
 * No method throws. A Redis failure delays a call by at most `timeoutMs`, once a second. Its begin and its end
 * are logged.
 */
export class PredictionCache {
  private readonly redis: Redis;
  private readonly ours: boolean;
  private shared: boolean;
  private leaveAloneUntil = 0;
  private inTrouble = false;

  constructor(
    at: string | Redis,
    private readonly rules: CacheRules,
    private readonly logger: Logger,
  ) {
    this.shared = rules.shared;
    this.ours = typeof at === 'string';
    this.redis =
      typeof at !== 'string'
        ? at
        : new Redis(at, {
            enableOfflineQueue: false,
            maxRetriesPerRequest: 0,
            connectTimeout: RECONNECT_MS,
            retryStrategy: () => RECONNECT_MS,
          });
    if (this.ours) {
      this.redis.on('error', (error: Error) => {
        this.trouble(error);
      });
      this.redis.on('ready', () => {
        this.leaveAloneUntil = 0;
      });
    }
  }

  /** The newest cached verdict on a charger, of any metrics; null if there is none or Redis fails. */
  async newest<K extends VerdictKind>(
    kind: K,
    chargerId: string,
    tenantId: string | undefined,
  ): Promise<Cached<K> | null> {
    const found = await this.ask(async () => {
      const pipeline = this.redis.pipeline().get(keyOf(kind, chargerId, tenantId));
      pipeline.get(SERVICE_VERSIONS_KEY).hget(CLIENT_VERSIONS_KEY, kind);
      return (await pipeline.exec())?.map(([error, value]) => (error === null ? value : null));
    });
    const entry = decoded(found?.[0]);
    if (entry?.charger_id !== chargerId || typeof entry.model_version !== 'string') {
      return null;
    }
    const version = decoded(found?.[1])?.[kind] ?? found?.[2];
    const { [DIGEST_FIELD]: digest, ...verdict } = entry;
    return {
      verdict: { ...verdict, cached: true } as unknown as Verdicts[K],
      metricsDigest: typeof digest === 'string' ? digest : null,
      inForce: (version ?? verdict.model_version) === verdict.model_version,
    };
  }

  /** Store the service's verdict on these metrics. Does nothing if the service shares this Redis. */
  async store(
    kind: VerdictKind,
    tenantId: string | undefined,
    metrics: Metrics | undefined,
    verdict: Verdicts[VerdictKind],
  ) {
    if (this.shared) {
      return;
    }
    const outcome = await this.ask(() =>
      this.redis.eval(
        STORE,
        3,
        keyOf(kind, verdict.charger_id, tenantId),
        CLIENT_VERSIONS_KEY,
        SERVICE_VERSIONS_KEY,
        kind,
        verdict.model_version,
        verdict.reading_timestamp,
        JSON.stringify({ ...verdict, [DIGEST_FIELD]: metricsDigest(metrics) }),
        this.rules.ttlS[kind],
      ),
    );
    if (outcome === 'shared') {
      this.shared = true;
      this.logger.warn(
        'The cache is in the Redis of the ML service: from now on it is only read (ML_CACHE_SHARED)',
      );
    }
  }

  /** Delete a charger's verdicts. False if Redis fails. */
  async forget(chargerId: string, tenantId: string | undefined): Promise<boolean> {
    const keys = VERDICT_KINDS.map((kind) => keyOf(kind, chargerId, tenantId));
    return (await this.ask(() => this.redis.del(keys))) !== undefined;
  }

  /** Whether a cached verdict is valid for these metrics, so that no request is needed. */
  answers(cached: Cached<VerdictKind> | null, metrics: Metrics | undefined): boolean {
    if (cached?.inForce !== true || cached.metricsDigest === null) {
      return false;
    }
    return cached.metricsDigest === metricsDigest(metrics);
  }

  /** Whether this client stores verdicts; false if the service does so in the same Redis. */
  get keeps(): boolean {
    return !this.shared;
  }

  /** Close the connection if this cache opened it. */
  close(): void {
    if (this.ours) {
      this.redis.disconnect();
    }
  }

  /** Run a command. Undefined if Redis fails or does not reply within `timeoutMs`. */
  private async ask<T>(command: () => Promise<T>): Promise<T | undefined> {
    if (this.redis.status !== 'ready' || performance.now() < this.leaveAloneUntil) {
      return undefined;
    }
    const timer = new AbortController();
    const late = sleep(this.rules.timeoutMs, undefined, { signal: timer.signal, ref: false });
    try {
      const answer = command();
      const first = await Promise.race([answer.then(() => 'answered'), late]);
      if (first !== 'answered') {
        answer.catch(() => undefined); // late; the result is not used
        throw new Error(`no answer within ${this.rules.timeoutMs} ms`);
      }
      if (this.inTrouble) {
        this.inTrouble = false;
        this.logger.log('The cache is back');
      }
      return await answer;
    } catch (error) {
      this.trouble(error as Error);
      return undefined;
    } finally {
      timer.abort();
      late.catch(() => undefined);
    }
  }

  private trouble(error: Error): void {
    this.leaveAloneUntil = performance.now() + PAUSE_MS;
    if (!this.inTrouble) {
      this.inTrouble = true;
      this.logger.warn(`Going on without the cache: ${error.message || String(error)}`);
    }
  }
}

/** Redis key of a verdict: `ml:prediction:…`, with a tenant `ml:tenant:{t}:prediction:…`. */
export function keyOf(kind: VerdictKind, chargerId: string, tenantId: string | undefined): string {
  return `ml:${tenantId === undefined ? '' : `tenant:${tenantId}:`}prediction:${kind}:${chargerId}`;
}

/**
 * Digest of the metrics as they are sent. The order of fields does not matter; null equals missing. Returns null
 * for metrics that cannot be sent.
 */
export function metricsDigest(metrics: Metrics | undefined): string | null {
  try {
    // Encode first: a Date, for example, has no fields but is sent as text.
    const sent: unknown = JSON.parse(encoded(metrics));
    return createHash('sha256').update(canonical(sent)).digest('hex').slice(0, 32);
  } catch {
    return null;
  }
}

function canonical(value: unknown): string {
  if (Array.isArray(value)) {
    return `[${value.map(canonical).join(',')}]`;
  }
  if (typeof value !== 'object' || value === null) {
    return JSON.stringify(value);
  }
  const fields = Object.entries(value).filter(([, inner]) => inner !== null);
  fields.sort(([one], [other]) => (one < other ? -1 : 1));
  return `{${fields.map(([name, inner]) => `${JSON.stringify(name)}:${canonical(inner)}`).join(',')}}`;
}

function decoded(text: unknown): Record<string, unknown> | null {
  try {
    const value: unknown = typeof text === 'string' ? JSON.parse(text) : null;
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : null;
  } catch {
    return null;
  }
}
