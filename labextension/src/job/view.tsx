/**
 * A job in the main area: how it stands, its ranks, curves and lines, and what can be done.
 */
import { ReactWidget, UseSignal } from '@jupyterlab/apputils';
import { TranslationBundle } from '@jupyterlab/translation';
import React from 'react';
import { duration } from '../duration';
import { JobDetail } from '../tokens';
import { Phase } from '../phase';
import { IActions, Actions } from './actions';
import { Curves } from './curves';
import { Logs } from './logs';
import { JobModel } from './model';
import { Ranks } from './ranks';
import { traceback, why } from './why';
import { title, uncoded } from './words';

const SECOND = 1000;

/** The content of a job's tab. */
export class JobView extends ReactWidget {
  constructor(
    readonly model: JobModel,
    private _actions: IActions,
    private _trans: TranslationBundle
  ) {
    super();
    this.addClass('jp-KubeJob');
  }

  dispose(): void {
    this.model.dispose();
    super.dispose();
  }

  protected render(): JSX.Element {
    return (
      <UseSignal signal={this.model.changed}>
        {() => (
          <Body
            model={this.model}
            actions={this._actions}
            trans={this._trans}
          />
        )}
      </UseSignal>
    );
  }
}

interface IBody {
  model: JobModel;
  actions: IActions;
  trans: TranslationBundle;
}

function Body({ model, actions, trans }: IBody): JSX.Element {
  const { job } = model;
  const now = useNow(job !== null && !job.finished);
  return (
    <>
      <Link model={model} trans={trans} />
      {job && (
        <>
          <div className="jp-KubeJob-header">
            <h1>{job.name}</h1>
            <p>{title(job, trans)}</p>
            <p role="status">
              <Phase phase={job.phase} trans={trans} />
            </p>
            <Ages job={job} now={now} trans={trans} />
          </div>
          <Done model={model} trans={trans} />
          {job.phase !== 'stopped' && ( // nothing of it is left then
            <Actions job={job} model={model} actions={actions} trans={trans} />
          )}
          <Why job={job} actions={actions} trans={trans} />
          <Ranks job={job} now={now} trans={trans} />
          <CurvesOf model={model} trans={trans} />
          <Logs
            model={model}
            ranks={job.ranks.map(({ rank }) => rank)}
            trans={trans}
          />
        </>
      )}
    </>
  );
}

/** The connection, where it is not as it should be. */
function Link(props: {
  model: JobModel;
  trans: TranslationBundle;
}): JSX.Element {
  const { model, trans } = props;
  const words = {
    connecting: trans.__('Asking for job %1 …', model.name),
    lost: trans.__(
      'The connection to the Jupyter Server is lost; what you see is from before. Trying again …'
    ),
    live: '',
    ended: ''
  }[model.link];
  return (
    <>
      <p role="status" className="jp-KubeJob-link">
        {words}
      </p>
      {model.error && (
        <div role="alert" className="jp-KubeJob-error">
          <p>{model.error.message}</p>
          <button
            className="jp-Button jp-mod-styled jp-mod-minimal"
            onClick={() => model.again()}
          >
            {trans.__('Try again')}
          </button>
        </div>
      )}
    </>
  );
}

function Ages(props: {
  job: JobDetail;
  now: number;
  trans: TranslationBundle;
}): JSX.Element | null {
  const { job, now, trans } = props;
  return job.started === null ? null : (
    <p>{duration((job.ended ?? now) - job.started, trans)}</p>
  );
}

function Done(props: {
  model: JobModel;
  trans: TranslationBundle;
}): JSX.Element | null {
  const { model, trans } = props;
  const { share, left } = model.progress;
  if (share === null || model.job?.finished) {
    return null;
  }
  return (
    <div className="jp-KubeJob-progress">
      <progress
        value={share}
        max={1}
        aria-label={trans.__('How much is done')}
      />{' '}
      {trans.__('%1 %', Math.floor(share * 100))}
      {left !== null && (
        <span>{trans.__(', about %1 left', duration(left, trans))}</span>
      )}
    </div>
  );
}

/**
 * Why it is as it is: while it goes on, what its ranks wait for, live; once it failed, what the server
 * finds in the cluster and in the logs, and what to do.
 */
function Why(props: {
  job: JobDetail;
  actions: IActions;
  trans: TranslationBundle;
}): JSX.Element | null {
  const { job, actions, trans } = props;
  const [told, setTold] = React.useState<readonly string[]>([]);
  React.useEffect(() => {
    let isWanted = job.phase === 'failed';
    setTold([]);
    if (isWanted) {
      void actions.why(job.name).then(
        sentences => isWanted && setTold(sentences),
        () => undefined // what is known without it stays
      );
    }
    return () => {
      isWanted = false;
    };
  }, [job.name, job.phase, actions]);
  const reasons = job.phase === 'succeeded' ? [] : why(job, trans);
  const trace = traceback(job);
  const isShown = (words: string) => !trace || !words.startsWith('Traceback ');
  const shown = told.length ? told.filter(isShown) : reasons;
  if (!shown.length && !trace) {
    return null;
  }
  return (
    <section className="jp-KubeJob-why" aria-label={trans.__('Why')}>
      <ul>
        {shown.map(reason => (
          <li key={reason}>
            {reason.includes('\n') ? <pre tabIndex={0}>{reason}</pre> : reason}
          </li>
        ))}
      </ul>
      {trace && (
        <details>
          <summary>{trans.__('Traceback of rank %1', trace.rank)}</summary>
          <pre tabIndex={0}>{uncoded(trace.text)}</pre>
        </details>
      )}
    </section>
  );
}

/** Curves, drawn again when there are new reports. */
function CurvesOf(props: {
  model: JobModel;
  trans: TranslationBundle;
}): JSX.Element {
  const { series } = props.model;
  const curves = React.useMemo(() => series.curves(), [series, series.version]);
  return <Curves curves={curves} trans={props.trans} />;
}

/** Seconds since 1970, each second anew while something goes on. */
function useNow(going: boolean): number {
  const [now, setNow] = React.useState(Date.now() / SECOND);
  React.useEffect(() => {
    if (!going) {
      return;
    }
    const clock = setInterval(() => setNow(Date.now() / SECOND), SECOND);
    return () => clearInterval(clock);
  }, [going]);
  return now;
}
