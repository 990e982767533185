import { learn } from '../news';

interface IThing {
  id: string;
  size: number;
}

const thing = (id: string, size = 1): IThing => ({ id, size });
const idOf = ({ id }: IThing): string => id;
const known = new Map([thing('a'), thing('b')].map(each => [each.id, each]));

it('keeps what is known in its place, and puts what is new where it belongs', () => {
  const news = { told: [thing('c'), thing('a', 2)], whole: false };
  const before = learn(known, news, idOf, 'before');
  const after = learn(known, news, idOf, 'after');
  expect([...before.known.values()]).toEqual([
    thing('c'),
    thing('a', 2),
    thing('b')
  ]);
  expect([...after.known.keys()]).toEqual(['a', 'b', 'c']);
});

it('tells what each thing was and is', () => {
  const news = { told: [thing('c'), thing('a', 2)], gone: ['b'], whole: false };
  expect(learn(known, news, idOf, 'before').changes).toEqual([
    { id: 'c', before: undefined, now: thing('c') },
    { id: 'a', before: thing('a'), now: thing('a', 2) },
    { id: 'b', before: thing('b') }
  ]);
});

it('takes what a whole list lacks as gone, and its order', () => {
  const news = { told: [thing('c'), thing('b')], whole: true };
  const { known: now, changes } = learn(known, news, idOf, 'before');
  expect([...now.keys()]).toEqual(['c', 'b']);
  expect(changes.map(({ id }) => id)).toEqual(['c', 'a']);
});

it('does not take for a change what is told again, or was never known', () => {
  const news = { told: [thing('a')], gone: ['z'], whole: false };
  const outcome = learn(known, news, idOf, 'before');
  expect(outcome.changes).toEqual([]);
  expect(outcome.known).toBe(known);
});
