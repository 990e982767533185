/**
 * A notebook's last choice, kept in its metadata beside what was chosen for its kernel (pure).
 *
 *     "jupyter_kube": {"run": "tensorflow -w 4 --gpus 1"}
 */
import { JSONObject, PartialJSONValue } from '@lumino/coreutils';
import { parse, print } from './line';
import { ITrainOptions, PLAIN } from './options';

/** What belongs to one cell, and not to the next. */
const OF_ONE_CELL = [
  'name',
  'use',
  'output',
  'detach',
  'dryRun',
  'export'
] as const;

/** Return what was chosen last in this notebook. */
export function recall(entry: PartialJSONValue | undefined): ITrainOptions {
  const line = isObject(entry) ? entry.run : undefined;
  try {
    return typeof line === 'string' ? parse(line) : { ...PLAIN };
  } catch {
    return { ...PLAIN }; // written by hand, or by another version
  }
}

/** Return the metadata's entry with a choice noted in it. */
export function remember(
  entry: PartialJSONValue | undefined,
  options: ITrainOptions
): JSONObject {
  const kept = { ...options };
  for (const key of OF_ONE_CELL) {
    Object.assign(kept, { [key]: PLAIN[key] });
  }
  const run = print(kept).replace(/^\S+ ?/, '');
  return { ...(isObject(entry) ? entry : {}), run };
}

function isObject(value: PartialJSONValue | undefined): value is JSONObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
