import { context, propagation, ROOT_CONTEXT, trace, TraceFlags } from '@opentelemetry/api';
import { UndiciInstrumentation } from '@opentelemetry/instrumentation-undici';
import { setTimeout as sleep } from 'node:timers/promises';
import { MLClientService, orThrow } from '../src';
import { continueTrace, traceHeaders } from '../src/trace-context';
import { HttpProxy } from './support/http-proxy';
import { asked, newCharger, reading } from './support/readings';
import { stack } from './support/stack';
import { headerOf, inSpan, provider, spans } from './support/tracing';

const { url, apiKey, redisUrl } = stack();
const TRACE_ID = 'a1'.repeat(16);
const REMOTE = { traceId: TRACE_ID, spanId: 'b2'.repeat(8), traceFlags: TraceFlags.SAMPLED, isRemote: true };
const HEADER = `00-${TRACE_ID}-${REMOTE.spanId}-01`;

let proxy: HttpProxy;
let ml: MLClientService;

beforeEach(async () => {
  proxy = await HttpProxy.to(url);
  ml = new MLClientService({ url: proxy.url, apiKey });
});

afterEach(async () => {
  jest.restoreAllMocks();
  ml.onModuleDestroy();
  await proxy.down();
});

/** The header of each request that has arrived. Several in one request would be joined by commas. */
function sent(name = 'traceparent'): unknown[] {
  return proxy.seen.map(({ headers }) => headers[name]);
}

describe('a request', () => {
  it('names the current span as its parent, also after the cache was asked', async () => {
    const cached = new MLClientService({ url: proxy.url, apiKey, cacheRedisUrl: `${redisUrl}/5` });
    const [first, answer] = await inSpan(() => cached.predictFailure(asked(newCharger())));
    expect(orThrow(answer).failure_probability).toBeGreaterThanOrEqual(0);
    const [second] = await inSpan(() => ml.healthCheck());
    cached.onModuleDestroy();
    expect(sent()).toEqual([headerOf(first), headerOf(second)]);
    expect(sent('tracestate')).toEqual([undefined, undefined]);
  });

  it('passes on the state of the trace', async () => {
    const remote = propagation.extract(ROOT_CONTEXT, { traceparent: HEADER, tracestate: 'vendor=opaque' });
    await context.with(remote, () => ml.predictFailure(asked(newCharger())));
    expect([sent(), sent('tracestate')]).toEqual([[HEADER], ['vendor=opaque']]);
  });

  it('has no header without a current span', async () => {
    await inSpan(async () => Promise.resolve());
    orThrow(await ml.predictFailure(asked(newCharger())));
    expect(sent()).toEqual([undefined]);
  });

  it('has the context of the call when it is tried again', async () => {
    proxy.next.push({ status: 503 }, 'reset');
    const [span, answer] = await inSpan(() => ml.predictFailure(asked(newCharger())));
    expect(answer.status).toBe('ok');
    expect(sent()).toEqual(Array(3).fill(headerOf(span)));
  });

  it('has the context of its own call beside others', async () => {
    const calls = Array.from({ length: 5 }, async (_, number) => {
      const [span] = await inSpan(async () => {
        await sleep(0);
        return ml.getCachedPrediction(`at-once-${number}`);
      });
      return [`GET /api/v1/predictions/at-once-${number}`, headerOf(span)];
    });
    const expected = await Promise.all(calls);
    expect(new Map(proxy.seen.map(({ line, headers }) => [line, headers.traceparent]))).toEqual(
      new Map(expected as [string, string][]),
    );
  });

  it('for the events of a job is of the same trace', async () => {
    const [span] = await inSpan(async () => {
      const job = orThrow(await ml.submitBatch({ chargers: [reading(newCharger())] }));
      for await (const event of ml.streamJob(job.job_id)) {
        expect(['progress', 'done']).toContain(event.type);
      }
    });
    expect(proxy.seen.map(({ line }) => line.replace(/.*\//, ''))).toEqual([
      expect.stringMatching(/^batch/),
      'events',
    ]);
    expect(sent()).toEqual(Array(2).fill(headerOf(span)));
  });

  it('has one header, that of the span which an instrumentation of fetch makes', async () => {
    const instrumentation = new UndiciInstrumentation();
    instrumentation.setTracerProvider(provider);
    try {
      const [span] = await inSpan(() => ml.predictFailure(asked(newCharger())));
      const { spanId } = span.spanContext();
      const made = spans.getFinishedSpans().filter((each) => each.parentSpanContext?.spanId === spanId);
      expect(made).toHaveLength(1);
      expect(sent()).toEqual(made.map(headerOf));
    } finally {
      instrumentation.disable();
    }
  });

  it('is sent without a header if a propagator fails, or sets one that HTTP does not allow', async () => {
    const inject = jest.spyOn(propagation, 'inject');
    const failures = [
      () => {
        throw new Error('a failure of its own');
      },
      (_: unknown, carrier: unknown) => Object.assign(carrier as object, { bad: 'two\r\nlines', worse: 7 }),
    ];
    for (const failure of failures) {
      inject.mockImplementationOnce(failure);
      const [, answer] = await inSpan(() => ml.predictFailure(asked(newCharger())));
      expect(answer.status).toBe('ok');
    }
    expect(inject).toHaveBeenCalledTimes(2);
    expect([sent(), sent('bad'), sent('worse')]).toEqual(Array(3).fill([undefined, undefined]));
  });

  it('is sent without a header where the package is missing', async () => {
    await jest.isolateModulesAsync(async () => {
      jest.doMock('@opentelemetry/api', () => {
        throw Object.assign(new Error('Cannot find module'), { code: 'MODULE_NOT_FOUND' });
      });
      const client = await import('../src');
      const alone = new client.MLClientService({ url: proxy.url, apiKey });
      const [, answer] = await inSpan(() => alone.predictFailure(asked(newCharger())));
      expect(answer.status).toBe('ok');
      const { continueTrace: continued } = await import('../src/trace-context');
      expect(continued({ traceparent: HEADER }, () => 'done')).toBe('done');
    });
    jest.dontMock('@opentelemetry/api');
    expect(sent()).toEqual([undefined]);
  });
});

describe('the work on a record', () => {
  const current = () => trace.getSpanContext(context.active());

  it('is in the trace of the record, whose header may be bytes', () => {
    expect(continueTrace({ traceparent: Buffer.from(HEADER) }, current)).toEqual(REMOTE);
    expect(continueTrace({ traceparent: HEADER }, traceHeaders)).toEqual({ traceparent: HEADER });
  });

  it('is in the trace of the record, not in that of the application start', async () => {
    const [, found] = await inSpan(() => Promise.resolve(continueTrace({ traceparent: HEADER }, current)));
    expect(found).toEqual(REMOTE);
  });

  it('stays in the span that an instrumentation has made for the record', () => {
    const remote = trace.setSpanContext(ROOT_CONTEXT, REMOTE);
    const span = trace.getTracer('kafkajs').startSpan('process', {}, remote);
    const found = context.with(trace.setSpan(remote, span), () =>
      continueTrace({ traceparent: HEADER }, current),
    );
    expect(found).toEqual(span.spanContext());
  });

  it.each([{}, { traceparent: 'no context' }, { traceparent: [HEADER, HEADER] }])(
    'has no trace without a valid header: %j',
    (headers) => {
      expect(continueTrace(headers, current)).toBeUndefined();
    },
  );

  it('is done if the extraction fails', () => {
    jest.spyOn(propagation, 'extract').mockImplementationOnce(() => {
      throw new Error('a failure of its own');
    });
    expect(continueTrace({ traceparent: HEADER }, () => 'done')).toBe('done');
  });

  it('fails as it does without a trace', () => {
    const failing = () => {
      throw new Error('as a handler does');
    };
    expect(() => continueTrace({ traceparent: HEADER }, failing)).toThrow('as a handler does');
  });
});
