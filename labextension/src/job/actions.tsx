/**
 * What can be done with a job: scale, rerun, kill. Refusals stay where they were caused.
 */
import { TranslationBundle } from '@jupyterlab/translation';
import React from 'react';
import { JobDetail } from '../tokens';
import { JobModel } from './model';

/** What the buttons do. */
export interface IActions {
  scale(name: string, workers: number): Promise<JobDetail>;
  /** Ask, and remove the job. */
  kill(name: string): Promise<unknown>;
  /** Make the same job again and show it. */
  rerun(name: string): Promise<void>;
  /** Ask the server why the job is as it is. */
  why(name: string): Promise<readonly string[]>;
}

/** The buttons. */
export function Actions(props: {
  job: JobDetail;
  model: JobModel;
  actions: IActions;
  trans: TranslationBundle;
}): JSX.Element {
  const { job, model, actions, trans } = props;
  const [refusal, setRefusal] = React.useState('');
  const [busy, setBusy] = React.useState(false);
  const attempt = async (what: () => Promise<unknown>) => {
    setBusy(true);
    setRefusal('');
    try {
      await what();
    } catch (error) {
      setRefusal(error instanceof Error ? error.message : String(error));
    } finally {
      setBusy(false);
    }
  };
  return (
    <div className="jp-KubeJob-actions">
      {job.least > 0 && !job.finished && (
        <Scale
          job={job}
          busy={busy}
          scale={workers =>
            attempt(async () =>
              model.update(await actions.scale(job.name, workers))
            )
          }
          trans={trans}
        />
      )}
      <button
        className="jp-Button jp-mod-styled"
        disabled={busy}
        onClick={() => attempt(() => actions.rerun(job.name))}
      >
        {trans.__('Run again')}
      </button>
      <button
        className="jp-Button jp-mod-styled jp-mod-warn"
        disabled={busy}
        onClick={() => attempt(() => actions.kill(job.name))}
      >
        {job.finished ? trans.__('Remove…') : trans.__('Kill…')}
      </button>
      {refusal && (
        <p role="alert" className="jp-KubeJob-error">
          {refusal}
        </p>
      )}
    </div>
  );
}

function Scale(props: {
  job: JobDetail;
  busy: boolean;
  scale: (workers: number) => void;
  trans: TranslationBundle;
}): JSX.Element {
  const { job, busy, scale, trans } = props;
  const [wanted, setWanted] = React.useState(job.workers);
  React.useEffect(() => setWanted(job.workers), [job.workers]);
  return (
    <form
      className="jp-KubeJob-scale"
      onSubmit={event => {
        event.preventDefault();
        scale(wanted);
      }}
    >
      <label>
        {trans.__('Workers at most')}{' '}
        <input
          type="number"
          className="jp-mod-styled"
          min={job.least}
          max={1000}
          required
          value={Number.isNaN(wanted) ? '' : wanted}
          onChange={event => setWanted(event.target.valueAsNumber)}
        />
      </label>
      <button
        className="jp-Button jp-mod-styled"
        disabled={busy || wanted === job.workers}
      >
        {trans.__('Scale')}
      </button>
    </form>
  );
}
