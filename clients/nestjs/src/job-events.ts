import { createParser } from 'eventsource-parser';
import { setTimeout as sleep } from 'node:timers/promises';
import type { MLRejected, MLUnavailable } from './answers';
import type { Caller, CallOptions, OpenAnswer } from './caller';
import { jobPath } from './requests';
import type { Job } from './types';

/** What `streamJob` yields: the job whenever it has moved on, and how the stream ends. */
export type JobEvent =
  | { type: 'progress' | 'done'; job: Job }
  /** The last event, instead of `done`: the service cannot be reached, or refuses. */
  | { type: 'unavailable'; answer: MLUnavailable<never> }
  | { type: 'rejected'; answer: MLRejected };

/** The service sends a sign of life every 10 s; a connection without one for so long is dead. */
const IDLE_MS = 30_000;
/** What the service asks of those whose connection has ended. */
const COME_BACK_MS = 1_000;

/**
 * A job's progress until its end. A connection that ends before (the service ends each after 10 minutes, and
 * when it is restarted) is followed by another; when none can be had, the last event says so.
 */
export async function* jobEvents(caller: Caller, jobId: string, call: CallOptions): AsyncGenerator<JobEvent> {
  const request = {
    method: 'GET',
    path: `${jobPath(jobId)}/events`,
    headers: { Accept: 'text/event-stream' },
  } as const;
  for (;;) {
    const answer = caller.delivered(await caller.open(request, call), call);
    if (answer.status === 'rejected') {
      yield { type: 'rejected', answer };
      return;
    }
    if (answer.status === 'unavailable') {
      yield { type: 'unavailable', answer };
      return;
    }
    for await (const event of received(answer.data)) {
      yield event;
      if (event.type === 'done') {
        return;
      }
    }
    // Ended by its caller, the next attempt says so.
    await sleep(COME_BACK_MS, undefined, call.signal ? { signal: call.signal } : {}).catch(() => undefined);
  }
}

/** The events of one connection, until it ends or breaks. */
async function* received({ response, deadline }: OpenAnswer): AsyncGenerator<JobEvent & { job: Job }> {
  const reader = response.body?.getReader();
  const decoder = new TextDecoder();
  const events: (JobEvent & { job: Job })[] = [];
  const parser = createParser({
    onEvent({ event, data }) {
      if (event === 'progress' || event === 'done') {
        events.push({ type: event, job: JSON.parse(data) as Job });
      }
    },
  });
  try {
    for (;;) {
      deadline.restart(IDLE_MS);
      const piece = (await reader?.read()) as { value?: Uint8Array } | undefined;
      deadline.clear(); // whoever reads the events may take their time
      if (piece?.value === undefined) {
        return;
      }
      parser.feed(decoder.decode(piece.value, { stream: true }));
      yield* events.splice(0);
    }
  } catch {
    // Cut off, or silent for too long: whoever called connects again.
  } finally {
    deadline.clear();
    await reader?.cancel().catch(() => undefined);
  }
}
