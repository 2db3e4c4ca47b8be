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
  chargerPath,
  type FleetOptions,
  fleetQuery,
  jobPath,
  type AlertPageOptions,
  alertPath,
  type OutcomePageOptions,
  outcomePath,
  type PageOptions,
  predictionPath,
  query,
  type SitesOptions,
} from './requests';
import type { ServiceRequest } from './transport';
import type {
  AnomalyVerdict,
  Attributes,
  BatchPredictions,
  BatchRequest,
  BatchRow,
  Charger,
  FailurePrediction,
  FleetCharger,
  Job,
  JobKind,
  MaintenanceSchedule,
  Models,
  Alert,
  AlertWithStory,
  Muting,
  Outcome,
  OutcomeAccepted,
  OutcomeCorrection,
  Page,
  PredictionRequest,
  ReportedOutcome,
  ServiceHealth,
  ServiceInfo,
  Site,
  StoredAttributes,
  VerdictKind,
  Verdicts,
} from './types';

/** Health of the service, as observed by this client. */
export interface MLHealth {
  /** `healthy` or `degraded` as reported by the service; `unavailable` without an answer. */
  status: 'healthy' | 'degraded' | 'unavailable' | 'disabled';
  circuit: CircuitState;
  latencyMs: number;
  service: ServiceHealth | null;
  /** Reason for the missing answer. */
  message: string | null;
}

/** Result of an invalidation. The service deleted its entries; `clientCache` reports this client's Redis. */
export interface Invalidated {
  clientCache: 'forgotten' | 'unreachable' | 'none';
}

/**
 * Client of the EVzone ML Service, as a NestJS provider.
 *
 * Every method resolves to a typed {@link MLAnswer} within its time-out, also if the service is slow, broken,
 * unreachable or disabled. Methods reject only if `throwErrors` is set.
 */
@Injectable()
export class MLClientService implements OnModuleDestroy {
  private readonly logger = new Logger(MLClientService.name);
  private readonly options: ResolvedOptions;
  private readonly caller: Caller;
  private readonly cache: PredictionCache | null;

  /** Throws `MLOptionsError` with one line for each wrong setting. */
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

  /** State of the circuit breaker. Changes are logged. */
  get circuitState(): CircuitState {
    return this.caller.breaker.state;
  }

  /** Read the service's health: one attempt, even if the circuit is open. Never rejects. */
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

  /** Failure probabilities within 1, 7 and 30 days, reasons and next steps. Stale in an outage, if cached. */
  async predictFailure(
    request: PredictionRequest,
    call: CallOptions = {},
  ): Promise<MLAnswer<FailurePrediction>> {
    return this.judged('failure', request, call);
  }

  /** Cheapest date for a visit, and its savings. Stale in an outage, if cached. */
  async predictMaintenance(
    request: PredictionRequest,
    call: CallOptions = {},
  ): Promise<MLAnswer<MaintenanceSchedule>> {
    return this.judged('maintenance', request, call);
  }

  /** Whether a reading differs from the fleet, and in which features. Stale in an outage, if cached. */
  async detectAnomaly(request: PredictionRequest, call: CallOptions = {}): Promise<MLAnswer<AnomalyVerdict>> {
    return this.judged('anomaly', request, call);
  }

  /** The newest failure prediction in the cache of this client or of the service; null if there is none. */
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
   * Score a fleet and wait for the results within the time-out. If the job is not done by then, it continues
   * and `completed` is false. Follow it with {@link streamJob} or {@link getJob}.
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

  /** Submit a fleet as a job, without waiting for its end. */
  async submitBatch(request: BatchRequest, call: BatchOptions = {}): Promise<MLAnswer<Job>> {
    return this.answered(batchRequest(request, call), call);
  }

  /** Status and progress of a job. */
  async getJob(jobId: string, call: CallOptions = {}): Promise<MLAnswer<Job>> {
    return this.answered({ method: 'GET', path: jobPath(jobId) }, call);
  }

  /** A page of a job's results in input order. Available while the job runs. */
  async getJobResults<K extends JobKind | 'erase' = 'failure'>(
    jobId: string,
    page: PageOptions = {},
  ): Promise<MLAnswer<Page<BatchRow<K>>>> {
    const path = `${jobPath(jobId)}/results${query(page)}`;
    return this.answered({ method: 'GET', path }, page);
  }

  /** Stream a job's progress until it is done or the service is unavailable. */
  streamJob(jobId: string, call: CallOptions = {}): AsyncIterable<JobEvent> {
    return jobEvents(this.caller, jobId, call);
  }

  /** Cancel a job. Finished rows stay readable. */
  async cancelJob(jobId: string, call: CallOptions = {}): Promise<MLAnswer<Job>> {
    return this.answered({ method: 'DELETE', path: jobPath(jobId) }, call);
  }

  /** A page of the newest failure prediction of each charger, with its attributes, highest risk first. */
  async listChargers(page: FleetOptions = {}): Promise<MLAnswer<Page<FleetCharger>>> {
    return this.answered({ method: 'GET', path: `${API}/chargers${fleetQuery(page)}` }, page);
  }

  /** A page of the sites of the fleet, highest risk first. */
  async listSites(page: SitesOptions = {}): Promise<MLAnswer<Page<Site>>> {
    return this.answered({ method: 'GET', path: `${API}/sites${fleetQuery(page)}` }, page);
  }

  /** The attributes, the newest reading and the verdicts of a charger. */
  async getCharger(chargerId: string, call: CallOptions = {}): Promise<MLAnswer<Charger>> {
    return this.answered({ method: 'GET', path: chargerPath(chargerId) }, call);
  }

  /** Replace all attributes of a charger; those that are left out are removed. */
  async putAttributes(
    chargerId: string,
    attributes: Attributes,
    call: CallOptions = {},
  ): Promise<MLAnswer<StoredAttributes>> {
    return this.answered({ method: 'PUT', path: chargerPath(chargerId), body: attributes }, call);
  }

  /** The models loaded by the workers. */
  async listModels(call: CallOptions = {}): Promise<MLAnswer<Models>> {
    return this.answered({ method: 'GET', path: `${API}/models` }, call);
  }

  /** Version of the service, and its brokers, topics and consumer group in Kafka. */
  async serviceInfo(call: CallOptions = {}): Promise<MLAnswer<ServiceInfo>> {
    return this.answered({ method: 'GET', path: `${API}/service` }, call);
  }

  /**
   * Report an outcome, for live precision and calibration. A repeated outcome is stored once. The service refuses
   * a charger that it knows nothing of (`unknown_charger`).
   */
  async postOutcome(outcome: Outcome, call: CallOptions = {}): Promise<MLAnswer<OutcomeAccepted>> {
    return this.answered({ method: 'POST', path: `${API}/outcomes`, body: outcome }, call);
  }

  /** A page of the reported outcomes, the latest first. */
  async listOutcomes(page: OutcomePageOptions = {}): Promise<MLAnswer<Page<ReportedOutcome>>> {
    return this.answered({ method: 'GET', path: `${API}/outcomes${query(page)}` }, page);
  }

  /** Correct an outcome, its time, or both. */
  async correctOutcome(
    outcomeId: string,
    correction: OutcomeCorrection,
    call: CallOptions = {},
  ): Promise<MLAnswer<ReportedOutcome>> {
    return this.answered({ method: 'PUT', path: outcomePath(outcomeId), body: correction }, call);
  }

  /** Delete an outcome that was reported by mistake. */
  async deleteOutcome(outcomeId: string, call: CallOptions = {}): Promise<MLAnswer<null>> {
    return this.answered<null>({ method: 'DELETE', path: outcomePath(outcomeId) }, call);
  }

  /** A page of alerts, the newest first; open ones by default. It may be short although `next` leads to more. */
  async listAlerts(page: AlertPageOptions = {}): Promise<MLAnswer<Page<Alert>>> {
    return this.answered({ method: 'GET', path: `${API}/alerts${query(page)}` }, page);
  }

  /** An alert with its verdicts and its story. */
  async getAlert(alertId: string, call: CallOptions = {}): Promise<MLAnswer<AlertWithStory>> {
    return this.answered({ method: 'GET', path: alertPath(alertId) }, call);
  }

  /** Note that somebody has seen an alert. A repeat changes nothing. */
  async acknowledgeAlert(
    alertId: string,
    note?: string,
    call: CallOptions = {},
  ): Promise<MLAnswer<AlertWithStory>> {
    const body = note === undefined ? {} : { note };
    return this.answered({ method: 'POST', path: alertPath(alertId, 'acknowledge'), body }, call);
  }

  /** Assign an alert to a person or team; null ends that. */
  async assignAlert(
    alertId: string,
    to: string | null,
    call: CallOptions = {},
  ): Promise<MLAnswer<AlertWithStory>> {
    return this.answered({ method: 'POST', path: alertPath(alertId, 'assign'), body: { to } }, call);
  }

  /** Mute an open alert, for 90 days at most. The alert topics do not change. */
  async muteAlert(
    alertId: string,
    muting: Muting,
    call: CallOptions = {},
  ): Promise<MLAnswer<AlertWithStory>> {
    return this.answered({ method: 'POST', path: alertPath(alertId, 'mute'), body: muting }, call);
  }

  /** End the muting of an alert. */
  async unmuteAlert(alertId: string, call: CallOptions = {}): Promise<MLAnswer<AlertWithStory>> {
    return this.answered({ method: 'DELETE', path: alertPath(alertId, 'mute') }, call);
  }

  /** Erase a charger by a job. Its one result is the {@link Receipt}. Needs the role `admin`. */
  async eraseCharger(chargerId: string, call: CallOptions = {}): Promise<MLAnswer<Job>> {
    return this.answered({ method: 'DELETE', path: chargerPath(chargerId) }, call);
  }

  /** Erase a tenant and end its keys, as {@link eraseCharger} does. */
  async eraseTenant(tenantId: string, call: CallOptions = {}): Promise<MLAnswer<Job>> {
    const path = `${API}/tenants/${encodeURIComponent(tenantId)}`;
    return this.answered({ method: 'DELETE', path }, call);
  }

  /** Delete every cached verdict on a charger: in this client's cache, and then in the service. */
  async invalidateCache(chargerId: string, call: CallOptions = {}): Promise<MLAnswer<Invalidated>> {
    const told = await this.cache?.forget(chargerId, this.tenantOf(call));
    const answer = await this.answered<null>({ method: 'DELETE', path: predictionPath(chargerId) }, call);
    const clientCache = told === undefined ? 'none' : told ? 'forgotten' : 'unreachable';
    return withData(answer, () => ({ clientCache }));
  }

  /** Close the cache's connection. Called by NestJS. */
  onModuleDestroy(): void {
    this.cache?.close();
  }

  private async answered<T>(request: ServiceRequest, call: CallOptions): Promise<Called<T>> {
    return this.caller.delivered(await this.caller.call<T>(request, call), call);
  }

  /** Get a verdict from the cache (equal metrics), else from the service, else a stale one from the cache. */
  private async judged<K extends VerdictKind>(
    kind: K,
    request: Partial<PredictionRequest> | undefined, // untyped callers may omit fields; the service validates
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
      // A degraded verdict knows no history: the next call may get a better one.
      await (answer.data.degraded
        ? undefined
        : this.cache?.store(kind, this.tenantOf(call), metrics, answer.data));
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
