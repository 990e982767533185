import type { TranslationBundle } from '@jupyterlab/translation';
import React from 'react';

import { isElastic } from '../commands/jobs';
import { about } from '../duration';
import { title } from '../job/words';
import { Phase, phaseWord } from '../phase';
import { CommandIDs } from '../tokens';
import type { Job } from '../tokens';
import { Actions } from './buttons';
import type { Action } from './buttons';
import { useNow } from './clock';
import type { ISectionProps } from './context';
import { List } from './list';

/** As high as two lines of text; style/base.css has the same. */
const ROW_HEIGHT = 44;

/** My jobs, newest first, and what may be done with the one that is chosen. */
export function JobsSection({
  model,
  commands,
  trans,
  settings,
  isSeen
}: ISectionProps): JSX.Element {
  const [selected, select] = React.useState<string | null>(null);
  const [wanted, want] = React.useState('');
  const now = useNow(isSeen);
  const all = React.useMemo(() => [...model.jobs.values()], [model.jobs]);
  const shown = all.filter(
    job =>
      (settings.finishedJobs || !job.finished) &&
      matches(job, wanted.trim(), trans)
  );
  const job = selected === null ? undefined : model.jobs.get(selected);
  if (all.length === 0) {
    return (
      <p className="jp-KubeNone">
        {model.cluster
          ? trans.__(
              'None. A cell that begins with %1 becomes one.',
              '%%kubetrain'
            )
          : ''}
      </p>
    );
  }
  return (
    <>
      <input
        type="search"
        className="jp-mod-styled jp-KubeSearch"
        aria-label={trans.__('Only jobs with these words')}
        placeholder={trans.__('Search %1 jobs', all.length)}
        value={wanted}
        onChange={event => want(event.target.value)}
      />
      {shown.length ? (
        <List
          label={trans.__('My jobs')}
          items={shown}
          idOf={each => each.name}
          rowHeight={ROW_HEIGHT}
          selected={selected}
          onSelect={select}
          onOpen={name => {
            select(name);
            void commands.execute(CommandIDs.openJob, { name });
          }}
        >
          {each => <JobRow job={each} now={now} trans={trans} />}
        </List>
      ) : (
        <p className="jp-KubeNone">{trans.__('None of them.')}</p>
      )}
      {job && (
        <div className="jp-KubeDetail" role="group" aria-label={job.name}>
          <h3>{job.name}</h3>
          <p>{title(job, trans)}</p>
          {job.message && <p>{job.message}</p>}
          <Actions
            commands={commands}
            actions={actionsOn(job, trans)}
            args={{ name: job.name }}
          />
        </div>
      )}
    </>
  );
}

function actionsOn(job: Job, trans: TranslationBundle): Action[] {
  const scale: Action = [CommandIDs.scaleJob, trans.__('Scale…')];
  return [
    [CommandIDs.openJob, trans.__('Open')],
    [CommandIDs.whyJob, trans.__('Why?')],
    ...(isElastic(job) ? [scale] : []),
    [CommandIDs.rerunJob, trans.__('Run again')],
    [CommandIDs.killJob, job.finished ? trans.__('Remove…') : trans.__('Kill…')]
  ];
}

function JobRow(props: {
  readonly job: Job;
  readonly now: number;
  readonly trans: TranslationBundle;
}): JSX.Element {
  const { job, now, trans } = props;
  return (
    <>
      <div className="jp-KubeList-line">
        <span className="jp-KubeList-name">{job.name}</span>
        <span className="jp-KubeList-aside">{ageOf(job, now, trans)}</span>
      </div>
      <div className="jp-KubeList-line jp-mod-second" title={job.message}>
        <span className="jp-KubeList-name">
          <Phase phase={job.phase} trans={trans} />
          {job.message && ` · ${job.message}`}
        </span>
        <span className="jp-KubeList-aside">{ranksOf(job, trans)}</span>
      </div>
    </>
  );
}

/** Whether each of the words is in what is shown of a job. */
function matches(job: Job, wanted: string, trans: TranslationBundle): boolean {
  const { name, framework, profile, phase, message } = job;
  const text = [name, framework, profile, phaseWord(phase, trans), message]
    .join(' ')
    .toLowerCase();
  return wanted
    .toLowerCase()
    .split(/\s+/)
    .every(word => text.includes(word));
}

function ageOf(job: Job, now: number, trans: TranslationBundle): string {
  return job.started === null
    ? ''
    : about((job.ended ?? now) - job.started, trans);
}

/** How many ranks are up, of all; nothing before there are any, nor where the end says all. */
function ranksOf(job: Job, trans: TranslationBundle): string {
  const { running = 0, succeeded = 0 } = job.counts;
  const all = Object.values(job.counts).reduce((sum, each) => sum + each, 0);
  return job.finished || job.phase === 'waiting'
    ? ''
    : trans.__('%1 of %2 up', running + succeeded, all);
}
