import type { AlertKind, AlertSettings } from '../../config/alerts.js';
import type { Alert } from '../../recording/alerts.js';
import type { Json } from '../../recording/event.js';

/** What the gateway's parts say of themselves. */
export interface GatewayReadings {
  /** Whether changes of grants are heard. */
  feed(): boolean;
  /** Whether the last commit of the recorder succeeded. */
  recording(): boolean;
  /** Bytes that wait to be recorded. */
  queuedBytes(): number;
}

/** A moment of this gateway. Skew: how far its clock is ahead of the ledger's, milliseconds; null: not asked this time. */
export interface GatewayMoment {
  readonly gateway: string;
  readonly wall: number;
  readonly monotonic: number;
  readonly readings: GatewayReadings;
  readonly skew: number | null;
}

/** Tells once of what lasts, and anew when it came back after it was gone. */
class Lasting {
  #since: number | null = null;
  #told = false;

  begins(holds: boolean, seconds: number, now: number): boolean {
    if (!holds) [this.#since, this.#told] = [null, false];
    else this.#since ??= now;
    if (this.#since === null || this.#told || now - this.#since < seconds * 1000) return false;
    this.#told = true;
    return true;
  }
}

/** What is wrong with the gateway itself: its recorder lags, its feed is lost, its clock is off. */
export function gatewayRules(settings: AlertSettings): (moment: GatewayMoment) => readonly Alert[] {
  const [lag, feed, clock] = [new Lasting(), new Lasting(), new Lasting()];
  const { recorder_lag, feed_lost, clock_off } = settings;
  let apart = false;
  return ({ gateway, wall, monotonic, readings, skew }) => {
    const about = {
      subject: `gateway:${gateway}`,
      principal: null,
      service: null,
      grant: null,
      session: null,
      at: wall,
    };
    const alert = (kind: AlertKind, detail: Readonly<Record<string, Json>>): Alert => ({ kind, ...about, detail });
    const [recording, queuedBytes] = [readings.recording(), readings.queuedBytes()];
    const lags = !recording || queuedBytes >= recorder_lag.queued;
    if (skew !== null) apart = Math.abs(skew) > clock_off.by * 1000;
    return [
      ...(lag.begins(lags, recorder_lag.lasting, monotonic) ? [alert('recorder_lag', { recording, queuedBytes })] : []),
      ...(feed.begins(!readings.feed(), feed_lost.lasting, monotonic) ? [alert('feed_lost', {})] : []),
      ...(clock.begins(apart, 0, monotonic) ? [alert('clock_off', { aheadMilliseconds: skew ?? 0 })] : []),
    ];
  };
}
