class DeadlinePassed extends Error {
  override readonly name = 'DeadlinePassed';
}

/** The moment at which a call ends, whatever it is doing, and the signal that ends it. */
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

  /** Whether this is what ended the call, and not its caller. */
  static hasEnded(signal: AbortSignal): boolean {
    return signal.reason instanceof DeadlinePassed;
  }

  /** Milliseconds that are left, never below zero. */
  get remainingMs(): number {
    return Math.max(0, this.at - performance.now());
  }

  /** Put it off: `timeoutMs` from now. */
  restart(timeoutMs: number): void {
    this.clear();
    this.at = performance.now() + timeoutMs;
    this.timer = this.begun(timeoutMs);
  }

  /** The call has ended. */
  clear(): void {
    clearTimeout(this.timer);
  }

  private begun(timeoutMs: number): NodeJS.Timeout {
    return setTimeout(() => {
      this.own.abort(new DeadlinePassed());
    }, timeoutMs);
  }
}
