import { channel } from 'node:diagnostics_channel';

/** Trace context as text by name (`traceparent`, `tracestate`). */
type TraceHeaders = Record<string, string>;
/** Headers of a Kafka record, as kafkajs has them. */
type RecordHeaders = Record<string, Buffer | string | (Buffer | string)[] | undefined>;
type Context = object;

/** The used part of `@opentelemetry/api`. Its own types would make it necessary for compiling these sources. */
interface TraceApi {
  readonly ROOT_CONTEXT: Context;
  readonly context: { active(): Context; with<T>(context: Context, work: () => T): T };
  readonly propagation: {
    inject(context: Context, carrier: Record<string, unknown>): void;
    extract(context: Context, carrier: RecordHeaders, getter: typeof RECORD_GETTER): Context;
  };
  readonly trace: { getSpanContext(context: Context): { traceId: string } | undefined };
}

const RECORD_GETTER = {
  keys: (headers: RecordHeaders) => Object.keys(headers),
  get: (headers: RecordHeaders, name: string) => headers[name]?.toString(),
};
const SENDABLE = /^[\t\x20-\x7e]*$/;
/** Instrumentations of `fetch` subscribe to it. */
const FETCH_CREATED = channel('undici:request:create');

const api = loadApi();

/** The package, which is optional; null without it. */
function loadApi(): TraceApi | null {
  try {
    // eslint-disable-next-line @typescript-eslint/no-require-imports -- an import would fail without the package
    return require('@opentelemetry/api') as TraceApi;
  } catch {
    return null;
  }
}

/**
 * Headers of the application's propagators for the current context. Empty without OpenTelemetry; no `traceparent`
 * without a current span. Never throws: a failure of tracing must not fail a call.
 */
export function traceHeaders(): TraceHeaders {
  if (api === null) {
    return {};
  }
  try {
    const carrier: Record<string, unknown> = {};
    api.propagation.inject(api.context.active(), carrier);
    return Object.fromEntries(Object.entries(carrier).filter(isSendable));
  } catch {
    return {};
  }
}

/**
 * Headers of {@link traceHeaders} for a request by `fetch`. Empty if `fetch` is instrumented: the instrumentation
 * adds its own headers to those of the request, and a second `traceparent` makes both invalid.
 */
export function fetchTraceHeaders(): TraceHeaders {
  return FETCH_CREATED.hasSubscribers ? {} : traceHeaders();
}

/** Run `work` in the trace context of a record, and return its result. Without one, just run `work`. */
export function continueTrace<T>(headers: RecordHeaders, work: () => T): T {
  const carried = api === null ? null : carriedContext(api, headers);
  return api === null || carried === null ? work() : api.context.with(carried, work);
}

function carriedContext(otel: TraceApi, headers: RecordHeaders): Context | null {
  try {
    const carried = otel.propagation.extract(otel.ROOT_CONTEXT, headers, RECORD_GETTER);
    const traceId = otel.trace.getSpanContext(carried)?.traceId;
    const current = otel.trace.getSpanContext(otel.context.active());
    // In the same trace, the current span is that of an instrumentation of kafkajs for this record.
    return traceId === undefined || traceId === current?.traceId ? null : carried;
  } catch {
    return null;
  }
}

function isSendable(header: [string, unknown]): header is [string, string] {
  return typeof header[1] === 'string' && SENDABLE.test(header[1]);
}
