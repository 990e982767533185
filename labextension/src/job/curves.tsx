/**
 * Small plots of what ranks reported, one a metric.
 */
import { TranslationBundle } from '@jupyterlab/translation';
import React from 'react';
import { ICurves, Point } from './series';
import { shortened } from './words';

const WIDTH = 240;
const HEIGHT = 80;
const NARROWEST = 1e-100; // a narrower range is drawn as none

/** All curves; nothing where there are none. */
export function Curves(props: {
  curves: readonly ICurves[];
  trans: TranslationBundle;
}): JSX.Element | null {
  return props.curves.length ? (
    <div className="jp-KubeJob-curves">
      {props.curves.map(each => (
        <Plot key={each.metric} {...each} trans={props.trans} />
      ))}
    </div>
  ) : null;
}

function Plot(props: ICurves & { trans: TranslationBundle }): JSX.Element {
  const { metric, lines, trans } = props;
  const all = lines.flatMap(({ points }) => points);
  const [left, right] = ends(all.map(([at]) => at));
  const [low, high] = ends(all.map(([, value]) => value));
  const place = ([at, value]: Point) =>
    `${((at - left) * (WIDTH / width(left, right))).toFixed(1)},` +
    `${(HEIGHT - (value - low) * (HEIGHT / width(low, high))).toFixed(1)}`;
  const about = lines.map(({ rank, points }) =>
    trans.__(
      '%1, rank %2: %3 → %4',
      metric,
      rank,
      shortened(points[0][1]),
      shortened(points[points.length - 1][1])
    )
  );
  return (
    <figure className="jp-KubeJob-plot">
      <figcaption>
        {metric} {shortened(lines[0].points[lines[0].points.length - 1][1])}
      </figcaption>
      <svg
        role="img"
        aria-label={about.join('; ')}
        width={WIDTH + 70}
        height={HEIGHT + 20}
        viewBox={`-4 -6 ${WIDTH + 70} ${HEIGHT + 24}`}
      >
        {lines.map(({ rank, points }, index) => (
          <polyline
            key={rank}
            className={`jp-KubeJob-curve jp-mod-${index % 8}`}
            points={points.map(place).join(' ')}
          >
            <title>{about[index]}</title>
          </polyline>
        ))}
        <text x={WIDTH + 6} y={6}>
          {shortened(high)}
        </text>
        <text x={WIDTH + 6} y={HEIGHT}>
          {shortened(low)}
        </text>
        <text x={0} y={HEIGHT + 14}>
          {shortened(left)}
        </text>
        <text x={WIDTH} y={HEIGHT + 14} textAnchor="end">
          {shortened(right)}
        </text>
      </svg>
      {lines.length > 1 && (
        <ul
          className="jp-KubeJob-legend"
          aria-label={trans.__('Ranks of %1', metric)}
        >
          {lines.map(({ rank }, index) => (
            <li key={rank} title={about[index]}>
              <span
                className={`jp-KubeJob-sample jp-mod-${index % 8}`}
                aria-hidden="true"
              />
              {rank}
            </li>
          ))}
        </ul>
      )}
    </figure>
  );
}

function ends(numbers: number[]): [number, number] {
  let [low, high] = [Infinity, -Infinity];
  for (const each of numbers) {
    low = Math.min(low, each);
    high = Math.max(high, each);
  }
  return [low, high];
}

function width(low: number, high: number): number {
  return high - low > NARROWEST ? high - low : 1;
}
