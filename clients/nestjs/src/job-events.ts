import { createParser } from 'eventsource-parser';
import { setTimeout as sleep } from 'node:timers/promises';
import type { MLRejected, MLUnavailable } from './answers';
import type { Caller, CallOptions, OpenAnswer } from './caller';
import { jobPath } from './requests';
import type { Job } from './types';

/** Event of `streamJob`: a changed job, or the reason for the end of the stream. */
export type JobEvent =
  | { type: 'progress' | 'done'; job: Job }
  /** Last event instead of `done`: the service is unavailable or refuses the request. */
  | { type: 'unavailable'; answer: MLUnavailable<never> }
  | { type: 'rejected'; answer: MLRejected };

/** The service sends a comment every 10 s. A connection silent for this long is dead. */
const IDLE_MS = 30_000;
/** Pause before reconnecting, as in the service's `retry` field. */
const COME_BACK_MS = 1_000;

/**
 * Iterate over a job's progress until its end. Reconnects if a connection ends earlier: the service closes each
 * after 10 minutes and at a restart. If no connection is possible, the last event contains the reason.
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
    // If the caller's signal ends the pause, the next attempt reports it.
    await sleep(COME_BACK_MS, undefined, call.signal ? { signal: call.signal } : {}).catch(() => undefined);
  }
}

/** Yield the events of one connection until it ends or breaks. */
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
      deadline.clear(); // the consumer of the events has no time limit
      if (piece?.value === undefined) {
        return;
      }
      parser.feed(decoder.decode(piece.value, { stream: true }));
      yield* events.splice(0);
    }
  } catch {
    // Broken, or silent for too long: the caller reconnects.
  } finally {
    deadline.clear();
    await reader?.cancel().catch(() => undefined);
  }
}
