/**
 * The log pane: the newest lines of all ranks, as many of them drawn as can be seen.
 */
import { TranslationBundle } from '@jupyterlab/translation';
import React from 'react';
import { JobModel } from './model';

const ROW = 18; // pixels of a line, as in the style sheet
const BEYOND = 10; // lines drawn above and below those that can be seen

/** Filter, search and lines. */
export function Logs(props: {
  model: JobModel;
  ranks: readonly number[];
  trans: TranslationBundle;
}): JSX.Element {
  const { model, ranks, trans } = props;
  const { rank, text } = model.lines.filter;
  const [sought, setSought] = React.useState(text);
  const [, redraw] = React.useReducer((n: number) => n + 1, 0);
  const look = (filter: Partial<typeof model.lines.filter>) => {
    model.lines.filter = { ...model.lines.filter, ...filter };
    redraw();
  };
  const filtered = rank !== null || Boolean(sought);
  return (
    <section className="jp-KubeJob-logs" aria-label={trans.__('Log')}>
      <div className="jp-KubeJob-logBar">
        <label>
          {trans.__('Rank')}{' '}
          <select
            className="jp-mod-styled"
            value={rank ?? ''}
            onChange={event => {
              const chosen = event.target.value;
              look({ rank: chosen === '' ? null : Number(chosen) });
            }}
          >
            <option value="">{trans.__('all')}</option>
            {ranks.map(each => (
              <option key={each} value={each}>
                {each}
              </option>
            ))}
          </select>
        </label>
        <label>
          {trans.__('Search')}{' '}
          <input
            type="search"
            className="jp-mod-styled"
            value={sought}
            onChange={event => {
              setSought(event.target.value);
              look({ text: event.target.value });
            }}
          />
        </label>
        <span role="status" className="jp-KubeJob-logCount">
          {filtered && trans._n('%1 line', '%1 lines', model.lines.length)}
        </span>
        {model.lines.missing > 0 && (
          <span className="jp-KubeJob-logMissing">
            {trans._n(
              '%1 earlier line is not shown; %kube logs has it',
              '%1 earlier lines are not shown; %kube logs has them',
              model.lines.missing
            )}
          </span>
        )}
      </div>
      <Window model={model} trans={trans} />
    </section>
  );
}

/** The lines that can be seen, at their places in a list as high as all of them. */
function Window(props: {
  model: JobModel;
  trans: TranslationBundle;
}): JSX.Element {
  const { model, trans } = props;
  const node = React.useRef<HTMLDivElement>(null);
  /** What can be seen. No state: one that waits for its turn would be set anew by each effect. */
  const view = React.useRef({ top: 0, height: 400 });
  const [, redraw] = React.useReducer((n: number) => n + 1, 0);
  /** Whether the newest line is to stay in sight. */
  const following = React.useRef(true);
  const length = model.lines.length;

  const measure = React.useCallback(() => {
    if (!node.current) {
      return; // gone: JupyterLab tells of sizes late while a notebook scrolls
    }
    const { scrollTop: top, clientHeight: height } = node.current;
    if (top !== view.current.top || height !== view.current.height) {
      view.current = { top, height };
      redraw();
    }
  }, []);
  React.useEffect(() => {
    const observer = new ResizeObserver(measure);
    observer.observe(node.current!);
    return () => observer.disconnect();
  }, []);
  React.useLayoutEffect(() => {
    const pane = node.current!;
    const left = model.takeLeft();
    if (following.current) {
      pane.scrollTop = pane.scrollHeight;
    } else if (left) {
      pane.scrollTop -= left * ROW; // what is read stays where it is
    }
    measure();
  });

  const { top, height } = view.current;
  const from = Math.max(0, Math.floor(top / ROW) - BEYOND);
  const to = Math.ceil((top + height) / ROW) + BEYOND;
  return (
    <div
      ref={node}
      className="jp-KubeJob-lines"
      role="log"
      aria-live="off"
      aria-label={trans.__('Lines of the ranks')}
      tabIndex={0}
      onScroll={() => {
        const { scrollTop, clientHeight, scrollHeight } = node.current!;
        following.current = scrollTop + clientHeight >= scrollHeight - ROW;
        measure();
      }}
    >
      <div style={{ height: length * ROW }}>
        <div style={{ transform: `translateY(${from * ROW}px)` }}>
          {model.lines.slice(from, to).map((line, index) => (
            <div key={from + index} className="jp-KubeJob-line">
              <span className="jp-KubeJob-lineRank">[{line.rank}]</span>{' '}
              {line.text}
            </div>
          ))}
        </div>
      </div>
    </div>
  );
}
