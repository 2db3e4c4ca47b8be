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
import { Breaker, withRetries } from './policies';
import { AttemptFailed, type ServiceRequest, Transport } from './transport';

/** What a single call may do otherwise than the module's settings say. */
export interface CallOptions {
  /** Until the call is given up, retries and pauses included. */
  timeoutMs?: number;
  /** Separates cache, fleet and jobs on the service. */
  tenantId?: string;
  /** Ends the call early; its answer is then `unavailable`, reason `aborted`. */
  signal?: AbortSignal;
  /** Found again in the service's log; by default a new one. */
  requestId?: string;
  /** Throw `MLUnavailableError` and `MLRequestError` instead of answering so. */
  throwErrors?: boolean;
}

/** What the service, or nobody, has answered: nothing cached is in it. */
export type Called<T> = MLOk<T> | MLUnavailable<never> | MLRejected;

/** An answer that has begun. Cancel the response's body, and clear the deadline, when you want no more of it. */
export interface OpenAnswer {
  response: Response;
  deadline: Deadline;
}

const REQUEST_ID = /^[\x21-\x7e]{1,128}$/;
const LONGEST_PAUSE_MS = 2_000;
/** Of a call that waits for a batch, what is left for its results to come back. */
const WAY_BACK_MS = 500;

/** One call as the policies have it: enabled? breaker closed? then tries until the deadline, then an answer. */
export class Caller {
  readonly breaker: Breaker;
  private readonly transport: Transport;
  private keyRefused = false;

  constructor(
    private readonly options: ResolvedOptions,
    private readonly logger: Logger,
  ) {
    this.breaker = new Breaker(options.breakerFailures, options.breakerResetMs, logger);
    this.transport = new Transport(options.url ?? '', options.apiKey ?? '');
  }

  /** Send a request and read its JSON answer. Never rejects. */
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

  /** Begin an answer that is read piece by piece. Its deadline has been met: whoever reads sets a new one. */
  async open(request: ServiceRequest, call: CallOptions): Promise<Called<OpenAnswer>> {
    return this.guarded(call, async (deadline, requestId) => {
      const sent = this.addressed(request, call, requestId);
      const response = await this.patiently(() => this.transport.begin(sent, deadline.signal), deadline);
      return response instanceof Response
        ? this.ok({ response, deadline }, requestId)
        : this.rejected(response.problem, requestId);
    });
  }

  /** Send a request once, past breaker and retries. Never rejects. */
  async once<T>(request: ServiceRequest, call: CallOptions): Promise<Called<T>> {
    return this.guarded(call, async (deadline, requestId) => {
      const reply = await this.transport.send(this.addressed(request, call, requestId), deadline.signal);
      return 'problem' in reply
        ? this.rejected(reply.problem, requestId)
        : this.ok(reply.body as T, requestId);
    });
  }

  /** The answer, or its exception where the call or the module asks for exceptions. */
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
    return this.breaker.run(() => withRetries(attempt, deadline, rules));
  }

  private addressed(request: ServiceRequest, call: CallOptions, requestId: string): ServiceRequest {
    const headers: Record<string, string> = { 'X-Request-ID': requestId, ...request.headers };
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
      // Nobody may be looking at the answers, and all of them will be like this: say so, once.
      if (!this.keyRefused) {
        this.logger.error(`ML_SERVICE_API_KEY is refused: ${problem.detail}`);
      }
      this.keyRefused = true;
    }
    return { status: 'rejected', problem, requestId };
  }
}

/** The request as it is sent now: the service may wait for what is left of the time, less the way back. */
function waiting(request: ServiceRequest, deadline: Deadline): ServiceRequest {
  const waitS = Math.floor((deadline.remainingMs - WAY_BACK_MS) / 1_000);
  const waits = request.waits === true && waitS > 0;
  return waits ? { ...request, headers: { ...request.headers, Prefer: `wait=${waitS}` } } : request;
}

function unavailable(failed: AttemptFailed, requestId: string): MLUnavailable<never> {
  const { reason, message, retryAfterMs } = failed;
  return { status: 'unavailable', reason, message, retryAfterMs, data: null, stale: false, requestId };
}
