import { randomUUID } from 'node:crypto';
import type { Logger } from '@nestjs/common';
import {
  type MLAnswer,
  type MLOk,
  type MLRejected,
  type MLUnavailable,
  MLRequestError,
  MLUnavailableError,
} from './answers';
import { Deadline } from './deadline';
import type { ResolvedOptions } from './ml-client.options';
import { Breaker, RetryBudget, withRetries } from './policies';
import { fetchTraceHeaders } from './trace-context';
import { AttemptFailed, type ServiceRequest, Transport } from './transport';

/** Options of a single call. They override the module's settings. */
export interface CallOptions {
  /** Limit of the whole call in ms, retries and pauses included. */
  timeoutMs?: number;
  /** Tenant whose cache, fleet and jobs the call uses. */
  tenantId?: string;
  /** Ends the call early with `unavailable`, reason `aborted`. */
  signal?: AbortSignal;
  /** Id for the service's log; default: a new UUID. */
  requestId?: string;
  /** Throw `MLUnavailableError` and `MLRequestError` instead of returning these answers. */
  throwErrors?: boolean;
}

/** Answer of the service, without cached data. */
export type Called<T> = MLOk<T> | MLUnavailable<never> | MLRejected;

/** A response with an unread body. The reader must cancel the body and clear the deadline when done. */
export interface OpenAnswer {
  response: Response;
  deadline: Deadline;
}

const REQUEST_ID = /^[\x21-\x7e]{1,128}$/;
const LONGEST_PAUSE_MS = 2_000;
/** Part of a batch call's time-out that is reserved for transferring the results. */
const WAY_BACK_MS = 500;

/** Apply the policies to each call: enabled flag, circuit breaker, retries, deadline. */
export class Caller {
  readonly breaker: Breaker;
  private readonly transport: Transport;
  private readonly budget: RetryBudget;
  private keyRefused = false;

  constructor(
    private readonly options: ResolvedOptions,
    private readonly logger: Logger,
  ) {
    this.breaker = new Breaker(options.breakerFailures, options.breakerResetMs, logger);
    this.budget = new RetryBudget(options.retryRatio, options.retryReserve);
    this.transport = new Transport(options.url ?? '', options.apiKey ?? '');
  }

  /** Send a request and read its JSON response. Rejects only for errors other than failed attempts. */
  async call<T>(request: ServiceRequest, call: CallOptions): Promise<Called<T>> {
    return this.guarded(call, async (deadline, requestId) => {
      const sent = this.addressed(request, call, requestId);
      const attempt = () => this.transport.send(waiting(sent, deadline), deadline.signal);
      const reply = await this.patiently(attempt, deadline);
      return 'problem' in reply
        ? this.rejected(reply.problem, requestId)
        : this.ok(reply.body as T, requestId);
    });
  }

  /** Open a response that is read in pieces. The deadline is cleared; the reader restarts it for each piece. */
  async open(request: ServiceRequest, call: CallOptions): Promise<Called<OpenAnswer>> {
    return this.guarded(call, async (deadline, requestId) => {
      const sent = this.addressed(request, call, requestId);
      const response = await this.patiently(() => this.transport.begin(sent, deadline.signal), deadline);
      return response instanceof Response
        ? this.ok({ response, deadline }, requestId)
        : this.rejected(response.problem, requestId);
    });
  }

  /** Send a request once, without breaker and retries. Rejects only for errors other than failed attempts. */
  async once<T>(request: ServiceRequest, call: CallOptions): Promise<Called<T>> {
    return this.guarded(call, async (deadline, requestId) => {
      const reply = await this.transport.send(this.addressed(request, call, requestId), deadline.signal);
      return 'problem' in reply
        ? this.rejected(reply.problem, requestId)
        : this.ok(reply.body as T, requestId);
    });
  }

  /** Return the answer, or throw its exception if `throwErrors` is set for the call or the module. */
  delivered<A extends MLAnswer<unknown>>(answer: A, call: CallOptions): A {
    if (answer.status !== 'ok' && (call.throwErrors ?? this.options.throwErrors)) {
      throw answer.status === 'rejected' ? new MLRequestError(answer) : new MLUnavailableError(answer);
    }
    return answer;
  }

  private async guarded<T>(
    call: CallOptions,
    work: (deadline: Deadline, requestId: string) => Promise<MLOk<T> | MLRejected>,
  ): Promise<Called<T>> {
    const requestId =
      call.requestId !== undefined && REQUEST_ID.test(call.requestId) ? call.requestId : randomUUID();
    if (!this.options.enabled) {
      return unavailable(new AttemptFailed('disabled', 'ML_SERVICE_ENABLED is false'), requestId);
    }
    const deadline = new Deadline(call.timeoutMs ?? this.options.timeoutMs, call.signal);
    try {
      return await work(deadline, requestId);
    } catch (error) {
      if (!(error instanceof AttemptFailed)) {
        throw error;
      }
      this.logger.debug(`${requestId}: ${error.reason}: ${error.message}`);
      return unavailable(error, requestId);
    } finally {
      deadline.clear();
    }
  }

  private patiently<T>(attempt: () => Promise<T>, deadline: Deadline): Promise<T> {
    const { retries, retryDelayMs: delayMs } = this.options;
    const rules = { retries, delayMs, maxDelayMs: LONGEST_PAUSE_MS };
    return this.breaker.run(() => withRetries(attempt, deadline, rules, this.budget));
  }

  /** Add the headers of the call. All its attempts have the same. */
  private addressed(request: ServiceRequest, call: CallOptions, requestId: string): ServiceRequest {
    const headers: Record<string, string> = {
      ...fetchTraceHeaders(),
      'X-Request-ID': requestId,
      ...request.headers,
    };
    const tenantId = call.tenantId ?? this.options.tenantId;
    if (tenantId !== undefined) {
      headers['X-Tenant-ID'] = tenantId;
    }
    return { ...request, headers };
  }

  private ok<T>(data: T, requestId: string): MLOk<T> {
    this.keyRefused = false;
    return { status: 'ok', data, source: 'service', stale: false, requestId };
  }

  private rejected(problem: MLRejected['problem'], requestId: string): MLRejected {
    if (problem.status === 401 || problem.status === 403) {
      // A wrong key refuses every call, and callers may ignore answers: log it once.
      if (!this.keyRefused) {
        this.logger.error(`ML_SERVICE_API_KEY is refused: ${problem.detail}`);
      }
      this.keyRefused = true;
    }
    return { status: 'rejected', problem, requestId };
  }
}

/** Add `Prefer: wait` with the remaining time, less the reserve for the transfer. */
function waiting(request: ServiceRequest, deadline: Deadline): ServiceRequest {
  const waitS = Math.floor((deadline.remainingMs - WAY_BACK_MS) / 1_000);
  const waits = request.waits === true && waitS > 0;
  return waits ? { ...request, headers: { ...request.headers, Prefer: `wait=${waitS}` } } : request;
}

function unavailable(failed: AttemptFailed, requestId: string): MLUnavailable<never> {
  const { reason, message, retryAfterMs } = failed;
  return { status: 'unavailable', reason, message, retryAfterMs, data: null, stale: false, requestId };
}
