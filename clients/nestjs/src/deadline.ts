class DeadlinePassed extends Error {
  override readonly name = 'DeadlinePassed';
}

/** Deadline of a call, with an abort signal that also fires for the caller's signal. */
export class Deadline {
  readonly signal: AbortSignal;
  private readonly own = new AbortController();
  private timer: NodeJS.Timeout;
  private at: number;

  constructor(timeoutMs: number, caller?: AbortSignal) {
    this.signal = caller === undefined ? this.own.signal : AbortSignal.any([caller, this.own.signal]);
    this.at = performance.now() + timeoutMs;
    this.timer = this.begun(timeoutMs);
  }

  /** Whether the deadline ended the call, and not its caller. */
  static hasEnded(signal: AbortSignal): boolean {
    return signal.reason instanceof DeadlinePassed;
  }

  /** Remaining time in ms, at least 0. */
  get remainingMs(): number {
    return Math.max(0, this.at - performance.now());
  }

  /** Set the deadline to `timeoutMs` from now. */
  restart(timeoutMs: number): void {
    this.clear();
    this.at = performance.now() + timeoutMs;
    this.timer = this.begun(timeoutMs);
  }

  /** Stop the timer. */
  clear(): void {
    clearTimeout(this.timer);
  }

  private begun(timeoutMs: number): NodeJS.Timeout {
    return setTimeout(() => {
      this.own.abort(new DeadlinePassed());
    }, timeoutMs);
  }
}
