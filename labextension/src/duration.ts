import type { TranslationBundle } from '@jupyterlab/translation';

/** Write a duration as people say it: 45 s, 1 min 12 s, 2 h 3 min, 1 d 4 h. */
export function duration(seconds: number, trans: TranslationBundle): string {
  const whole = Math.max(0, Math.floor(seconds));
  if (whole < 60) {
    return trans.__('%1 s', whole);
  }
  if (whole < 3600) {
    return trans.__('%1 min %2 s', Math.floor(whole / 60), whole % 60);
  }
  if (whole < 86400) {
    const hours = Math.floor(whole / 3600);
    return trans.__('%1 h %2 min', hours, Math.floor((whole % 3600) / 60));
  }
  const days = Math.floor(whole / 86400);
  return trans.__('%1 d %2 h', days, Math.floor((whole % 86400) / 3600));
}

/** Write a duration without its seconds, unless there are few. */
export function about(seconds: number, trans: TranslationBundle): string {
  return seconds < 100 || seconds >= 3600
    ? duration(seconds, trans)
    : trans.__('%1 min', Math.round(seconds / 60));
}
