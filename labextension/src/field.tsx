/**
 * A form's field: its label, what is typed into it, and what is wrong with that.
 */
import React from 'react';

/** What all fields have. */
interface IShared {
  label: string;
  value: string;
  problem?: string;
  onChange: (value: string) => void;
}

/** A text. */
export function TextField(props: IShared & { hint?: string }): JSX.Element {
  return (
    <Labelled {...props}>
      {about => (
        <input
          {...about}
          className="jp-mod-styled"
          value={props.value}
          placeholder={props.hint}
          spellCheck={false}
          autoComplete="off"
          onChange={event => props.onChange(event.target.value)}
        />
      )}
    </Labelled>
  );
}

/** One of several. */
export function ChoiceField(
  props: IShared & { choices: readonly [string, string][] }
): JSX.Element {
  return (
    <Labelled {...props}>
      {about => (
        <select
          {...about}
          className="jp-mod-styled"
          value={props.value}
          onChange={event => props.onChange(event.target.value)}
        >
          {props.choices.map(([value, words]) => (
            <option key={value} value={value}>
              {words}
            </option>
          ))}
        </select>
      )}
    </Labelled>
  );
}

/** Yes or no. */
export function TickField(props: {
  label: string;
  value: boolean;
  problem?: string;
  onChange: (value: boolean) => void;
}): JSX.Element {
  const id = React.useId();
  return (
    <div className="jp-KubeField jp-mod-tick">
      <label>
        <input
          type="checkbox"
          checked={props.value}
          aria-invalid={Boolean(props.problem)}
          aria-describedby={props.problem ? id : undefined}
          onChange={event => props.onChange(event.target.checked)}
        />{' '}
        {props.label}
      </label>
      <Problem id={id} words={props.problem} />
    </div>
  );
}

interface IAbout {
  id: string;
  'aria-invalid': boolean;
  'aria-describedby': string | undefined;
}

function Labelled(
  props: IShared & { children: (about: IAbout) => JSX.Element }
): JSX.Element {
  const id = React.useId();
  const problemId = `${id}-problem`;
  return (
    <div className="jp-KubeField">
      <label htmlFor={id}>{props.label}</label>
      {props.children({
        id,
        'aria-invalid': Boolean(props.problem),
        'aria-describedby': props.problem ? problemId : undefined
      })}
      <Problem id={problemId} words={props.problem} />
    </div>
  );
}

function Problem(props: { id: string; words?: string }): JSX.Element | null {
  return props.words ? (
    <span id={props.id} className="jp-KubeField-problem">
      {props.words}
    </span>
  ) : null;
}
