import { context, type Span, trace } from '@opentelemetry/api';
import { InMemorySpanExporter, NodeTracerProvider, SimpleSpanProcessor } from '@opentelemetry/sdk-trace-node';

/** Spans that have ended. */
export const spans = new InMemorySpanExporter();

export const provider = new NodeTracerProvider({ spanProcessors: [new SimpleSpanProcessor(spans)] });
provider.register();

/** Run `work` in a new span, as an application does that is traced: the span, and what `work` has returned. */
export async function inSpan<T>(work: () => Promise<T>): Promise<[Span, T]> {
  const span = trace.getTracer('tests').startSpan('caller', { root: true });
  try {
    return [span, await context.with(trace.setSpan(context.active(), span), work)];
  } finally {
    span.end();
  }
}

/** The `traceparent` of a request or record whose parent is this span. */
export function headerOf(span: Pick<Span, 'spanContext'>): string {
  const { traceId, spanId, traceFlags } = span.spanContext();
  return `00-${traceId}-${spanId}-${traceFlags.toString(16).padStart(2, '0')}`;
}
