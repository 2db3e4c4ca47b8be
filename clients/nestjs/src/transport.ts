import type { UnavailableReason } from './answers';
import { Deadline } from './deadline';
import { encoded } from './json';
import type { Problem } from './types';

/** One HTTP request to the service. `path` starts with a slash and is URL-encoded. */
export interface ServiceRequest {
  method: 'GET' | 'POST' | 'PUT' | 'DELETE';
  path: string;
  body?: unknown;
  headers?: Record<string, string>;
  /** Send `Prefer: wait` with the remaining time, so that the service waits for the results. */
  waits?: boolean;
}

/** A request refused by the service (4xx). */
export interface Refused {
  problem: Problem;
}
/** Response body, or a refusal. */
export type Reply = { body: unknown } | Refused;

/** A failed attempt. The service may or may not have processed the request. */
export class AttemptFailed extends Error {
  override readonly name = 'AttemptFailed';
  constructor(
    readonly reason: UnavailableReason,
    message: string,
    /** The service's `Retry-After` in ms; null if absent. */
    readonly retryAfterMs: number | null = null,
  ) {
    super(message);
  }
}

const ACCEPT = 'application/json, application/problem+json';
// A retry of the same request may succeed. 409 `still_accepted`: the first one is still being received.
const ASKS_FOR_PATIENCE = new Set([408, 425, 429]);
const PATIENT_CODES = new Set(['queue_full', 'still_accepted', 'insufficient_storage']);

/** HTTP requests to one service with the global `fetch`. */
export class Transport {
  private readonly base: string;

  constructor(
    url: string,
    private readonly apiKey: string,
  ) {
    this.base = url.replace(/\/+$/, '');
  }

  /** Send a request once and read the response. Throws {@link AttemptFailed}, also when `signal` fires. */
  async send(request: ServiceRequest, signal: AbortSignal): Promise<Reply> {
    return this.read(await this.open(request, signal), signal);
  }

  /** Send a request once. A successful response has an unread body. Throws as {@link send} does. */
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
      // The caller gave a header or body that cannot be sent: refuse it like any other bad request.
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
      redirect: 'error', // a redirect would send the key to another host
      signal,
    });
  }

  /** Reason for a failed fetch. */
  private broken(error: unknown, signal: AbortSignal): AttemptFailed {
    if (signal.aborted) {
      return Deadline.hasEnded(signal)
        ? new AttemptFailed('timeout', 'no answer in time')
        : new AttemptFailed('aborted', 'ended by the caller');
    }
    // The error's text is only "fetch failed"; the reason is in the chain of causes.
    let root = error as { message: string; code?: string; cause?: unknown };
    while (typeof root.cause === 'object' && root.cause !== null) {
      root = root.cause as typeof root;
    }
    return new AttemptFailed('unreachable', `${this.base}: ${root.code ?? root.message}`);
  }
}

/** Classify a response: a result or a refusal is returned, anything else throws {@link AttemptFailed}. */
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

/** Parse `Retry-After`, seconds or a date (RFC 9110), into ms from now; null if absent or invalid. */
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

/** Complete a problem document: a proxy's refusal may have another format. */
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
