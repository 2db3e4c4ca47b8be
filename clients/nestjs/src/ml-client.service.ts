import { randomUUID } from 'node:crypto';
import { Inject, Injectable, Logger, type OnModuleDestroy } from '@nestjs/common';
import type { MLAnswer } from './answers';
import { type Called, Caller, type CallOptions } from './caller';
import { jobEvents, type JobEvent } from './job-events';
import { ML_CLIENT_OPTIONS } from './ml-client.module-definition';
import { type MLClientOptions, resolveOptions, type ResolvedOptions } from './ml-client.options';
import type { CircuitState } from './policies';
import { PredictionCache } from './prediction-cache';
import {
  API,
  type BatchOptions,
  batchRequest,
  type PageOptions,
  jobPath,
  predictionPath,
  query,
} from './requests';
import type { ServiceRequest } from './transport';
import type {
  AnomalyVerdict,
  BatchPredictions,
  BatchRequest,
  BatchRow,
  FailurePrediction,
  Job,
  JobKind,
  MaintenanceSchedule,
  Models,
  Outcome,
  OutcomeAccepted,
  Page,
  PredictionRequest,
  ServiceHealth,
  VerdictKind,
  Verdicts,
} from './types';

/** How the service is, as far as this client can tell. */
export interface MLHealth {
  /** The service's own `healthy` or `degraded`; `unavailable` where it gives no answer. */
  status: 'healthy' | 'degraded' | 'unavailable' | 'disabled';
  circuit: CircuitState;
  latencyMs: number;
  service: ServiceHealth | null;
  /** Why there is no answer. */
  message: string | null;
}

/** What invalidation could do: the service has forgotten the charger, and so has this client's Redis, if any. */
export interface Invalidated {
  clientCache: 'forgotten' | 'unreachable' | 'none';
}

/**
 * The EVzone ML Service, as a NestJS provider.
 *
 * Every method resolves to a typed {@link MLAnswer}, also when the service is slow, broken, away or switched
 * off, and never takes longer than its time-out. None rejects unless the caller asks for that (`throwErrors`).
 */
@Injectable()
export class MLClientService implements OnModuleDestroy {
  private readonly logger = new Logger(MLClientService.name);
  private readonly options: ResolvedOptions;
  private readonly caller: Caller;
  private readonly cache: PredictionCache | null;

  /** Throws `MLOptionsError`, with a readable line for each setting that is wrong. */
  constructor(@Inject(ML_CLIENT_OPTIONS) options: MLClientOptions = {}) {
    this.options = resolveOptions(options);
    this.caller = new Caller(this.options, this.logger);
    const { cacheRedis, cacheRedisUrl, cacheShared, cacheTimeoutMs } = this.options;
    const ttlS = {
      failure: this.options.cacheTtlFailureS,
      maintenance: this.options.cacheTtlMaintenanceS,
      anomaly: this.options.cacheTtlAnomalyS,
    };
    const at = cacheRedis ?? cacheRedisUrl;
    const rules = { shared: cacheShared, timeoutMs: cacheTimeoutMs, ttlS };
    this.cache = at === undefined ? null : new PredictionCache(at, rules, this.logger);
  }

  /** Whether calls are sent now; changes are logged. */
  get circuitState(): CircuitState {
    return this.caller.breaker.state;
  }

  /** Ask the service how it is: one try, whatever the circuit says. Never rejects. */
  async healthCheck(call: CallOptions = {}): Promise<MLHealth> {
    const began = performance.now();
    const answer = await this.caller.once<ServiceHealth>({ method: 'GET', path: '/health' }, call);
    const common = { circuit: this.circuitState, latencyMs: Math.round(performance.now() - began) };
    if (answer.status === 'ok') {
      return { ...common, status: answer.data.status, service: answer.data, message: null };
    }
    const disabled = answer.status === 'unavailable' && answer.reason === 'disabled';
    const message = answer.status === 'unavailable' ? answer.message : answer.problem.detail;
    return { ...common, status: disabled ? 'disabled' : 'unavailable', service: null, message };
  }

  /** Will it fail within 1, 7 and 30 days, why, and what to do. Stale in an outage, if anything is cached. */
  async predictFailure(
    request: PredictionRequest,
    call: CallOptions = {},
  ): Promise<MLAnswer<FailurePrediction>> {
    return this.judged('failure', request, call);
  }

  /** When a visit is cheapest, and what it saves. Stale in an outage, if anything is cached. */
  async predictMaintenance(
    request: PredictionRequest,
    call: CallOptions = {},
  ): Promise<MLAnswer<MaintenanceSchedule>> {
    return this.judged('maintenance', request, call);
  }

  /** Whether a reading is unlike the fleet's, and in what. Stale in an outage, if anything is cached. */
  async detectAnomaly(request: PredictionRequest, call: CallOptions = {}): Promise<MLAnswer<AnomalyVerdict>> {
    return this.judged('anomaly', request, call);
  }

  /** The newest failure prediction that is cached, by this client or by the service; null if none is. */
  async getCachedPrediction(
    chargerId: string,
    call: CallOptions = {},
  ): Promise<MLAnswer<FailurePrediction | null>> {
    const cached = await this.cached('failure', chargerId, call);
    if (cached?.inForce === true && this.options.enabled) {
      return ok(cached.verdict, call);
    }
    const answer = await this.caller.call<FailurePrediction>(
      { method: 'GET', path: predictionPath(chargerId) },
      call,
    );
    if (answer.status === 'rejected' && answer.problem.code === 'unknown_charger') {
      return { status: 'ok', data: null, source: 'service', stale: false, requestId: answer.requestId };
    }
    return this.caller.delivered(withStale(answer, cached?.verdict), call);
  }

  /**
   * Score a fleet and wait for it, as long as the time-out allows. A job that is not done by then goes on, and
   * `completed` is false: follow it with {@link streamJob} or {@link getJob}.
   */
  async batchPredictions<K extends JobKind = 'failure'>(
    request: BatchRequest,
    call: BatchOptions<K> = {},
  ): Promise<MLAnswer<BatchPredictions<K>>> {
    type Done = Omit<Extract<BatchPredictions<K>, { completed: true }>, 'completed'>;
    const answer = await this.answered<Done | Job>({ ...batchRequest(request, call), waits: true }, call);
    return withData(answer, (data) =>
      'predictions' in data
        ? { completed: true, ...data }
        : { completed: false, job_id: data.job_id, job: data },
    );
  }

  /** Have a fleet scored as a job, and do not wait. */
  async submitBatch(request: BatchRequest, call: BatchOptions = {}): Promise<MLAnswer<Job>> {
    return this.answered(batchRequest(request, call), call);
  }

  /** Status and progress of a job. */
  async getJob(jobId: string, call: CallOptions = {}): Promise<MLAnswer<Job>> {
    return this.answered({ method: 'GET', path: jobPath(jobId) }, call);
  }

  /** A page of a job's results in input order, also while it runs. */
  async getJobResults<K extends JobKind = 'failure'>(
    jobId: string,
    page: PageOptions = {},
  ): Promise<MLAnswer<Page<BatchRow<K>>>> {
    const path = `${jobPath(jobId)}/results${query(page)}`;
    return this.answered({ method: 'GET', path }, page);
  }

  /** A job's progress as it happens, until it is done or the service cannot be reached. */
  streamJob(jobId: string, call: CallOptions = {}): AsyncIterable<JobEvent> {
    return jobEvents(this.caller, jobId, call);
  }

  /** Cancel a job; what is done stays readable. */
  async cancelJob(jobId: string, call: CallOptions = {}): Promise<MLAnswer<Job>> {
    return this.answered({ method: 'DELETE', path: jobPath(jobId) }, call);
  }

  /** The fleet's newest failure predictions, the riskiest charger first. */
  async listChargers(page: PageOptions = {}): Promise<MLAnswer<Page<FailurePrediction>>> {
    return this.answered({ method: 'GET', path: `${API}/chargers${query(page)}` }, page);
  }

  /** The models as the workers hold them. */
  async listModels(call: CallOptions = {}): Promise<MLAnswer<Models>> {
    return this.answered({ method: 'GET', path: `${API}/models` }, call);
  }

  /** Report what really happened, for live precision and calibration. The same again is kept once. */
  async postOutcome(outcome: Outcome, call: CallOptions = {}): Promise<MLAnswer<OutcomeAccepted>> {
    return this.answered({ method: 'POST', path: `${API}/outcomes`, body: outcome }, call);
  }

  /** Forget every cached verdict on a charger: here, whatever the service says, and there. */
  async invalidateCache(chargerId: string, call: CallOptions = {}): Promise<MLAnswer<Invalidated>> {
    const told = await this.cache?.forget(chargerId, this.tenantOf(call));
    const answer = await this.answered<null>({ method: 'DELETE', path: predictionPath(chargerId) }, call);
    const clientCache = told === undefined ? 'none' : told ? 'forgotten' : 'unreachable';
    return withData(answer, () => ({ clientCache }));
  }

  onModuleDestroy(): void {
    this.cache?.close();
  }

  private async answered<T>(request: ServiceRequest, call: CallOptions): Promise<Called<T>> {
    return this.caller.delivered(await this.caller.call<T>(request, call), call);
  }

  /** A verdict: from the cache if these very metrics have one, else from the service, else a stale one. */
  private async judged<K extends VerdictKind>(
    kind: K,
    request: Partial<PredictionRequest> | undefined, // as untyped callers have it; the service is the judge of it
    call: CallOptions,
  ): Promise<MLAnswer<Verdicts[K]>> {
    const { charger_id: chargerId = '', metrics } = request ?? {};
    const keeps = this.cache?.keeps === true;
    let cached = keeps ? await this.cached(kind, chargerId, call) : null;
    if (this.options.enabled && this.cache?.answers(cached, metrics) === true && cached !== null) {
      return ok(cached.verdict, call);
    }
    const path = `${API}/predictions/${kind}`;
    const answer = await this.caller.call<Verdicts[K]>({ method: 'POST', path, body: request }, call);
    if (answer.status === 'ok') {
      await this.cache?.store(kind, this.tenantOf(call), metrics, answer.data);
    } else if (answer.status === 'unavailable' && !keeps) {
      cached = await this.cached(kind, chargerId, call);
    }
    return this.caller.delivered(withStale(answer, cached?.verdict), call);
  }

  private async cached<K extends VerdictKind>(kind: K, chargerId: string, call: CallOptions) {
    return (await this.cache?.newest(kind, chargerId, this.tenantOf(call))) ?? null;
  }

  private tenantOf(call: CallOptions): string | undefined {
    return call.tenantId ?? this.options.tenantId;
  }
}

function ok<T>(data: T, { requestId = randomUUID() }: CallOptions): MLAnswer<T> {
  return { status: 'ok', data, source: 'cache', stale: false, requestId };
}

function withStale<T>(answer: Called<T>, verdict: T | undefined): MLAnswer<T> {
  const stale = answer.status === 'unavailable' && verdict !== undefined;
  return stale ? { ...answer, data: verdict, stale } : answer;
}

function withData<T, U>(answer: Called<T>, made: (data: T) => U): Called<U> {
  return answer.status === 'ok' ? { ...answer, data: made(answer.data) } : answer;
}
