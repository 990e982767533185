/**
 * The rank grid: each rank's state by sign, colour and word, with what it waits for.
 */
import { TranslationBundle } from '@jupyterlab/translation';
import React from 'react';
import { JobDetail, Rank } from '../tokens';
import { Phase } from '../phase';
import { detail } from './words';

/** All ranks of a job. */
export function Ranks(props: {
  job: JobDetail;
  now: number;
  trans: TranslationBundle;
}): JSX.Element {
  const { job, now, trans } = props;
  return (
    <ul
      className="jp-KubeJob-ranks"
      aria-label={trans.__('Ranks')}
      tabIndex={0}
    >
      {job.ranks.map(rank => (
        <RankItem
          key={rank.rank}
          rank={rank}
          phase={phaseOf(job, rank)}
          place={place(job, rank)}
          words={detail(rank, now, trans)}
          trans={trans}
        />
      ))}
    </ul>
  );
}

interface IRankItem {
  rank: Rank;
  phase: string;
  place: string;
  words: string;
  trans: TranslationBundle;
}

/** One rank; drawn again only if what is seen of it has changed. */
const RankItem = React.memo(
  function RankItem({
    rank,
    phase,
    place,
    words,
    trans
  }: IRankItem): JSX.Element {
    return (
      <li className="jp-KubeJob-rank" title={words}>
        <span className="jp-KubeJob-rankNumber">{rank.rank}</span>
        {place && <span className="jp-KubeJob-rankPlace">{place}</span>}
        <Phase phase={phase} trans={trans} />
        <span className="jp-KubeJob-rankDetail">{words}</span>
      </li>
    );
  },
  (before, after) =>
    before.words === after.words &&
    before.place === after.place &&
    before.phase === after.phase
);

/** A rank's phase; whoever stopped the job has stopped what had not ended. */
function phaseOf(job: JobDetail, rank: Rank): string {
  const { phase } = rank.state;
  const ended = ['succeeded', 'failed'].includes(phase);
  return job.phase === 'stopped' && !ended ? 'stopped' : phase;
}

/** A rank's role, or its pod where several share one; empty in the plainest jobs. */
function place(job: JobDetail, rank: Rank): string {
  const procs = job.procs ?? 1;
  if (rank.role) {
    return rank.role;
  }
  return procs > 1 ? `pod ${Math.floor(rank.rank / procs)}` : '';
}
