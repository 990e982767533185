/**
 * What a message changes in what is known: pure functions on maps by id.
 */
import { JSONExt } from '@lumino/coreutils';
import type { ReadonlyJSONValue } from '@lumino/coreutils';

import type { IChange } from './tokens';

/** What a message tells of things of one kind. */
export interface INews<T> {
  readonly told?: readonly T[];
  readonly gone?: readonly string[];
  /** Whether it tells everything: what it lacks is gone, too. */
  readonly whole: boolean;
}

export interface IOutcome<T> {
  readonly known: ReadonlyMap<string, T>;
  readonly changes: readonly IChange<T>[];
}

/**
 * Put news in: what is known stays in its place, what is new comes before or after all else.
 */
export function learn<T>(
  known: ReadonlyMap<string, T>,
  { told = [], gone = [], whole }: INews<T>,
  idOf: (thing: T) => string,
  place: 'before' | 'after'
): IOutcome<T> {
  const byId = new Map(told.map(thing => [idOf(thing), thing]));
  const lost = whole ? [...known.keys()].filter(id => !byId.has(id)) : gone;
  const changes = [
    ...changed(known, byId),
    ...lost
      .filter(id => known.has(id))
      .map(id => ({ id, before: known.get(id) }))
  ];
  if (whole) {
    return { known: byId, changes };
  }
  return {
    known: changes.length ? merged(known, byId, lost, place) : known,
    changes
  };
}

function changed<T>(
  known: ReadonlyMap<string, T>,
  told: ReadonlyMap<string, T>
): IChange<T>[] {
  return [...told]
    .map(([id, now]) => ({ id, before: known.get(id), now }))
    .filter(({ before, now }) => before === undefined || !same(before, now));
}

function same<T>(one: T, other: T): boolean {
  return JSONExt.deepEqual(
    one as ReadonlyJSONValue,
    other as ReadonlyJSONValue
  );
}

function merged<T>(
  known: ReadonlyMap<string, T>,
  told: ReadonlyMap<string, T>,
  lost: readonly string[],
  place: 'before' | 'after'
): ReadonlyMap<string, T> {
  const kept = new Map(known);
  lost.forEach(id => kept.delete(id));
  const fresh = [...told].filter(([id]) => !kept.has(id));
  told.forEach((thing, id) => kept.has(id) && kept.set(id, thing));
  return new Map(
    place === 'before' ? [...fresh, ...kept] : [...kept, ...fresh]
  );
}
