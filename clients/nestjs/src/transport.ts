import type { UnavailableReason } from './answers';
import { Deadline } from './deadline';
import { encoded } from './json';
import type { Problem } from './types';

/** One HTTP request to the service. `path` begins with a slash and is encoded. */
export interface ServiceRequest {
  method: 'GET' | 'POST' | 'DELETE';
  path: string;
  body?: unknown;
  headers?: Record<string, string>;
  /** The service is asked to wait with its answer, as long as there is time (`Prefer: wait`). */
  waits?: boolean;
}

/** The service's reason for refusing a request (4xx). */
export interface Refused {
  problem: Problem;
}
/** What came back. */
export type Reply = { body: unknown } | Refused;

/** An attempt that brought no answer. What became of the request is not known. */
export class AttemptFailed extends Error {
  override readonly name = 'AttemptFailed';
  constructor(
    readonly reason: UnavailableReason,
    message: string,
    /** What the service itself asked for, if it did. */
    readonly retryAfterMs: number | null = null,
  ) {
    super(message);
  }
}

const ACCEPT = 'application/json, application/problem+json';
// A later try of the very same request may be answered: 409 while the first one is still being accepted.
const ASKS_FOR_PATIENCE = new Set([408, 425, 429]);
const PATIENT_CODES = new Set(['queue_full', 'still_accepted']);

/** Requests to one service, by the global `fetch`. */
export class Transport {
  private readonly base: string;

  constructor(
    url: string,
    private readonly apiKey: string,
  ) {
    this.base = url.replace(/\/+$/, '');
  }

  /** Send a request once and read its answer. Throws {@link AttemptFailed}, also when `signal` fires. */
  async send(request: ServiceRequest, signal: AbortSignal): Promise<Reply> {
    return this.read(await this.open(request, signal), signal);
  }

  /** Send a request once; an answer that is not refused is still to be read. Throws as {@link send} does. */
  async begin(request: ServiceRequest, signal: AbortSignal): Promise<Response | Refused> {
    const response = await this.open(request, signal);
    const reply = response.ok ? null : await this.read(response, signal);
    return reply !== null && 'problem' in reply ? reply : response;
  }

  private async read(response: Response, signal: AbortSignal): Promise<Reply> {
    let text: string;
    try {
      text = await response.text();
    } catch (error) {
      throw this.broken(error, signal);
    }
    return judge(response, text);
  }

  private async open(request: ServiceRequest, signal: AbortSignal): Promise<Response> {
    let prepared: Request;
    try {
      prepared = this.prepared(request, signal);
    } catch (error) {
      // A header or a body that cannot be written, by whoever called: it is refused like any other bad request.
      const problem = asProblem({ code: 'invalid_request', detail: String(error) }, 400, 'Bad Request');
      return new Response(JSON.stringify(problem), { status: 400 });
    }
    try {
      return await fetch(prepared);
    } catch (error) {
      throw this.broken(error, signal);
    }
  }

  private prepared({ method, path, body, headers }: ServiceRequest, signal: AbortSignal): Request {
    const sent = new Headers({ Accept: ACCEPT, 'X-API-Key': this.apiKey, ...headers });
    if (body !== undefined) {
      sent.set('Content-Type', 'application/json');
    }
    return new Request(this.base + path, {
      method,
      headers: sent,
      body: body === undefined ? null : encoded(body),
      redirect: 'error', // the key is for this service and for nobody else
      signal,
    });
  }

  /** Why fetch has failed. */
  private broken(error: unknown, signal: AbortSignal): AttemptFailed {
    if (signal.aborted) {
      return Deadline.hasEnded(signal)
        ? new AttemptFailed('timeout', 'no answer in time')
        : new AttemptFailed('aborted', 'ended by the caller');
    }
    // fetch says "fetch failed"; what did is in its cause, or in the cause of that.
    let root = error as { message: string; code?: string; cause?: unknown };
    while (typeof root.cause === 'object' && root.cause !== null) {
      root = root.cause as typeof root;
    }
    return new AttemptFailed('unreachable', `${this.base}: ${root.code ?? root.message}`);
  }
}

/** Tell an answer and a refusal, which are both replies, from what is neither. Throws {@link AttemptFailed}. */
export function judge(response: Response, text: string): Reply {
  const { status } = response;
  const body = parsed(text);
  if (response.ok) {
    if (status === 204) {
      return { body: null };
    }
    if (typeof body !== 'object' || body === null) {
      throw new AttemptFailed('service_error', `HTTP ${status} with a body that is no JSON object`);
    }
    return { body };
  }
  const problem = asProblem(body, status, response.statusText);
  const patient = ASKS_FOR_PATIENCE.has(status) || PATIENT_CODES.has(problem.code);
  if (status < 500 && !patient) {
    return { problem };
  }
  const reason = patient ? 'overloaded' : status === 504 ? 'timeout' : 'service_error';
  throw new AttemptFailed(
    reason,
    `HTTP ${status} ${problem.code}: ${problem.detail}`,
    retryAfterMs(response.headers.get('Retry-After')),
  );
}

/** `Retry-After`, in seconds or as a date, in milliseconds from now; null where it says nothing. */
export function retryAfterMs(value: string | null, now = Date.now()): number | null {
  if (value === null || value.trim() === '') {
    return null;
  }
  const seconds = Number(value);
  const wait = Number.isNaN(seconds) ? Date.parse(value) - now : seconds * 1000;
  return Number.isNaN(wait) ? null : Math.max(0, wait);
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

/** A proxy between us and the service may refuse in its own words. */
function asProblem(body: unknown, status: number, title: string): Problem {
  const given = (typeof body === 'object' && body !== null ? body : {}) as Partial<Problem>;
  return {
    type: 'about:blank',
    title,
    detail: title,
    code: 'http_error',
    request_id: null,
    ...given,
    status,
  };
}
