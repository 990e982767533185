/**
 * What a user chose for a notebook's kernel, as it travels in the notebook's metadata (pure).
 *
 *     "jupyter_kube": {"profile": "gpu", "options": {"gpus": 2, "memory": "32Gi"}}
 *
 * The server reads it each time a pod is started; see `jupyter_kube/kernels/choice.py`.
 */
import { JSONObject, PartialJSONValue } from '@lumino/coreutils';
import { specOf } from '../commands/kernels';
import type { Profile } from '../tokens';
import { Chosen, OPTIONS } from './bounds';

/** Key in a notebook's metadata. */
export const KEY = 'jupyter_kube';

/** A profile, and what is varied of it. */
export interface IChoice {
  profile: string;
  chosen: Chosen;
}

const PREFIX = specOf('');

/** The profile of a kernelspec's name; empty for kernels that are none of ours. */
export function profileOf(kernelName: string | undefined): string {
  return kernelName?.startsWith(PREFIX) ? kernelName.slice(PREFIX.length) : '';
}

/** Read what was chosen for one profile; what cannot be read is nothing. */
export function read(
  metadata: PartialJSONValue | undefined,
  profile: string
): Chosen {
  const entry = objectOf(metadata);
  if (entry.profile && entry.profile !== profile) {
    return {};
  }
  const options = objectOf(entry.options as PartialJSONValue | undefined);
  const chosen: Chosen = {};
  for (const name of OPTIONS) {
    const value = options[name];
    if (typeof value === 'string' || typeof value === 'number') {
      chosen[name] = String(value);
    }
  }
  return chosen;
}

/** Write a choice into the metadata's entry; undefined if nothing is left of that. */
export function write(
  metadata: PartialJSONValue | undefined,
  profile: Profile,
  chosen: Chosen
): JSONObject | undefined {
  const rest = { ...objectOf(metadata) };
  delete rest.profile;
  delete rest.options;
  const options: JSONObject = {};
  for (const name of OPTIONS) {
    const value = chosen[name];
    if (value && value !== String(profile[name]) && name in profile.options) {
      options[name] = name === 'gpus' ? Number(value) : value;
    }
  }
  const entry = Object.keys(options).length
    ? { ...rest, profile: profile.name, options }
    : rest;
  return Object.keys(entry).length ? entry : undefined;
}

function objectOf(value: PartialJSONValue | undefined): JSONObject {
  return value && typeof value === 'object' && !Array.isArray(value)
    ? (value as JSONObject)
    : {};
}
