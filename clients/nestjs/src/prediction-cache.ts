import { createHash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from '@nestjs/common';
import { Redis } from 'ioredis';
import { encoded } from './json';
import { VERDICT_KINDS, type Reading, type VerdictKind, type Verdicts } from './types';

/** Where the service's workers say which versions they answer with: its presence tells a Redis of theirs. */
const SERVICE_VERSIONS_KEY = 'ml:models:versions';
/** Where clients that share a cache of their own say which versions the service last answered with. */
const CLIENT_VERSIONS_KEY = 'ml:client:versions';
/** The field of a cached verdict that says which metrics it is for. The service knows nothing of it. */
const DIGEST_FIELD = 'client_metrics_digest';
/** After trouble Redis is left alone for so long: no call waits for it more than once in this time. */
const PAUSE_MS = 1_000;
const RECONNECT_MS = 2_000;

// In one step: never into the service's own Redis, and never an older reading over a newer one. Times are
// RFC 3339 in UTC with milliseconds: as strings they compare like times.
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

/** What is cached on a charger. `inForce`: of the model version that answers now, as far as is known. */
export interface Cached<K extends VerdictKind> {
  verdict: Verdicts[K];
  metricsDigest: string | null;
  inForce: boolean;
}

export interface CacheRules {
  /** The Redis is the service's as well: then it is read and deleted from, and never written to. */
  shared: boolean;
  timeoutMs: number;
  ttlS: Record<VerdictKind, number>;
}

/**
 * Verdicts in Redis, under the service's own keys (`ml:prediction:failure:{chargerId}`).
 *
 * No method throws. Trouble with Redis costs a call `timeoutMs` at most, once a second; it is logged when it
 * begins and when it ends.
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

  /** What is cached on a charger, whatever its metrics were; null if nothing, or if Redis cannot say. */
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

  /** Keep a verdict of the service on these metrics. Does nothing in a Redis that is the service's too. */
  async store(
    kind: VerdictKind,
    tenantId: string | undefined,
    metrics: Reading | undefined,
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

  /** Forget a charger. False if Redis could not be told. */
  async forget(chargerId: string, tenantId: string | undefined): Promise<boolean> {
    const keys = VERDICT_KINDS.map((kind) => keyOf(kind, chargerId, tenantId));
    return (await this.ask(() => this.redis.del(keys))) !== undefined;
  }

  /** Whether a cached verdict may be given for these metrics without asking the service. */
  answers(cached: Cached<VerdictKind> | null, metrics: Reading | undefined): boolean {
    if (cached?.inForce !== true || cached.metricsDigest === null) {
      return false;
    }
    return cached.metricsDigest === metricsDigest(metrics);
  }

  /** Whether verdicts are kept here, and not by the service in the same Redis. */
  get keeps(): boolean {
    return !this.shared;
  }

  close(): void {
    if (this.ours) {
      this.redis.disconnect();
    }
  }

  /** Redis's answer, or undefined if there is none in time. */
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
        answer.catch(() => undefined); // nobody waits for it any more
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

/** The contract's key: `ml:prediction:…`, with a tenant `ml:tenant:{t}:prediction:…`. */
export function keyOf(kind: VerdictKind, chargerId: string, tenantId: string | undefined): string {
  return `ml:${tenantId === undefined ? '' : `tenant:${tenantId}:`}prediction:${kind}:${chargerId}`;
}

/**
 * Equal for equal metrics as they are sent, in whatever order their fields come; one that is null is one that is
 * missing. Null for metrics that cannot be sent.
 */
export function metricsDigest(metrics: Reading | undefined): string | null {
  try {
    // There and back: a Date, for example, has no fields of its own, and is sent as text.
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
