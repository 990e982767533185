/**
 * What a profile leaves to its users, and within which bounds (pure).
 *
 * As `jupyter_kube/bounds.py` has it; the server has the last word.
 */
import { TranslationBundle } from '@jupyterlab/translation';
import { Profile } from '../tokens';

export const OPTIONS = ['gpus', 'cpu', 'memory', 'image'] as const;
export type ProfileOption = (typeof OPTIONS)[number];

/** What was chosen, as text; empty for the profile's own. */
export type Chosen = Partial<Record<ProfileOption, string>>;

interface IBounds {
  min?: string | number;
  max?: string | number;
}

/** The options that a profile leaves to its users. */
export function offered(profile: Profile): ProfileOption[] {
  return OPTIONS.filter(name => name in profile.options);
}

/** The images that may be chosen. */
export function images(profile: Profile): string[] {
  const others = (profile.options.image ?? []) as string[];
  return [...new Set([profile.image, ...others])];
}

/** Say what an option's bounds are, in words. */
export function range(
  profile: Profile,
  name: ProfileOption,
  trans: TranslationBundle
): string {
  const { min, max } = boundsOf(profile, name);
  if (min !== undefined && max !== undefined) {
    return trans.__('from %1 to %2', min, max);
  }
  if (max !== undefined) {
    return trans.__('at most %1', max);
  }
  return min === undefined ? '' : trans.__('at least %1', min);
}

/** Say what is wrong with a value; null if nothing is. */
export function problem(
  profile: Profile,
  name: ProfileOption,
  value: string,
  trans: TranslationBundle
): string | null {
  if (!value || name === 'image') {
    return null;
  }
  const number = amount(value);
  if (name === 'gpus' ? !/^[0-9]{1,4}$/.test(value) : number === null) {
    return name === 'gpus'
      ? trans.__('Write a whole number.')
      : trans.__(
          'Write a quantity, as in %1.',
          name === 'cpu' ? '2, 500m' : '4Gi, 512Mi'
        );
  }
  const { min, max } = boundsOf(profile, name);
  const inside =
    number! >= (amount(String(min ?? '')) ?? -Infinity) &&
    number! <= (amount(String(max ?? '')) ?? Infinity);
  return inside
    ? null
    : trans.__('The profile allows %1.', range(profile, name, trans));
}

const UNITS: Record<string, number> = { m: 1e-3, k: 1e3 };
'MGTPE'.split('').forEach((letter, index) => {
  UNITS[letter] = 1000 ** (index + 2);
});
'KMGTPE'.split('').forEach((letter, index) => {
  UNITS[`${letter}i`] = 1024 ** (index + 1);
});

/** Read one of Kubernetes' quantities; null if it is none. */
export function amount(text: string): number | null {
  const match = /^([0-9]{1,18}(?:\.[0-9]{1,9})?)(m|[kMGTPE]|[KMGTPE]i)?$/.exec(
    text
  );
  return match ? Number(match[1]) * (UNITS[match[2]] ?? 1) : null;
}

function boundsOf(profile: Profile, name: ProfileOption): IBounds {
  return (profile.options[name] ?? {}) as IBounds;
}
