/**
 * The form of *Run on cluster*.
 */
import { TranslationBundle } from '@jupyterlab/translation';
import React from 'react';
import { FormBody } from '../dialog';
import { ChoiceField, TextField, TickField } from '../field';
import { problem } from '../profile/bounds';
import { Profile } from '../tokens';
import { Problems, check, mostWorkers } from './check';
import { IField, mainFields, moreFields, ticks } from './fields';
import { Fit, IAsked } from './fit';
import { FRAMEWORKS, ITrainOptions, OptionKey, PLAIN } from './options';

/** The dialog's body. */
export class RunForm extends FormBody<ITrainOptions> {
  constructor(private _options: RunForm.IOptions) {
    super();
    this.addClass('jp-KubeForm');
    this._chosen = _options.options;
    // What will be done is to be seen, also what an earlier choice says.
    this._open = seldom(_options.trans).some(
      key => String(this._chosen[key]) !== String(PLAIN[key])
    );
  }

  getValue(): ITrainOptions {
    return trimmed(this._chosen);
  }

  get isWrong(): boolean {
    return Object.keys(this._problems()).length > 0;
  }

  protected fields(): JSX.Element {
    const { notice, trans, profiles } = this._options;
    const problems = this._problems();
    const known = profiles.map(each => each.name);
    const profile = this._chosen.profile;
    const others = profile && !known.includes(profile) ? [profile] : [];
    const more = moreFields(trans);
    return (
      <>
        {notice && <p className="jp-KubeForm-warning">{notice}</p>}
        <ChoiceField
          label={trans.__('Framework')}
          value={this._chosen.framework}
          choices={[
            ['', trans.__('what the cell imports')],
            ...FRAMEWORKS.map((each): [string, string] => [each, each])
          ]}
          problem={problems.framework}
          onChange={framework => this._set({ framework })}
        />
        <ChoiceField
          label={trans.__('Profile')}
          value={profile}
          choices={[
            ['', trans.__("like this notebook's kernel, else the default")],
            ...profiles.map((each): [string, string] => [
              each.name,
              each.display_name || each.name
            ]),
            ...others.map((each): [string, string] => [each, each])
          ]}
          problem={problems.profile}
          onChange={profile => this._set({ profile })}
        />
        {mainFields(trans).map(field => this._field(field, problems))}
        <Fit
          asked={this._asked(problems)}
          ask={this._options.fit}
          trans={trans}
        />
        <details
          open={
            this._open ||
            (this.refusals > 0 && seldom(trans).some(key => problems[key]))
          }
          onToggle={event => {
            this._open = event.currentTarget.open;
          }}
        >
          <summary>{trans.__('More')}</summary>
          {more.map(field => this._field(field, problems))}
          <TextField
            label={trans.__('Packages to install first')}
            hint={trans.__('separated by blanks, as in einops mlflow>=2')}
            value={this._chosen.pip.join(' ')}
            problem={problems.pip}
            onChange={text => this._set({ pip: text.split(' ') })}
          />
          {ticks(trans).map(({ key, label }) => (
            <TickField
              key={key}
              label={label}
              value={this._chosen[key]}
              problem={problems[key]}
              onChange={value => this._set({ [key]: value })}
            />
          ))}
        </details>
        <p role="status" className="jp-KubeField-problem">
          {this.refusals > 0 && this.isWrong
            ? trans.__('Nothing was run: mend what is marked above.')
            : ''}
        </p>
      </>
    );
  }

  private _field(
    { key, label, hint }: IField,
    problems: Problems
  ): JSX.Element {
    return (
      <TextField
        key={key}
        label={label}
        hint={hint}
        value={this._chosen[key]}
        problem={problems[key]}
        onChange={value => this._set({ [key]: value })}
      />
    );
  }

  private _set(change: Partial<ITrainOptions>): void {
    this._chosen = { ...this._chosen, ...change };
    this.update();
  }

  /** What is wrong with what was chosen, by the magic's rules and by the profile's. */
  private _problems(): Problems {
    const { trans } = this._options;
    const options = this.getValue();
    const found = check(options, trans);
    const profile = this._profile();
    for (const key of ['gpus', 'cpu', 'memory'] as const) {
      if (profile && key in profile.options) {
        const wrong = problem(profile, key, options[key], trans);
        found[key] ??= wrong ?? undefined;
      }
    }
    return Object.fromEntries(
      Object.entries(found).filter(([, words]) => words)
    );
  }

  private _profile(): Profile | undefined {
    const { kernelsProfile, profiles } = this._options;
    const name = this._chosen.profile || kernelsProfile;
    return profiles.find(each => each.name === name);
  }

  private _asked(problems: Problems): IAsked | null {
    const { workers, gpus, cpu, memory } = this.getValue();
    const number = mostWorkers(workers);
    const size = ['workers', 'gpus', 'cpu', 'memory'] as const;
    if (!number || size.some(key => problems[key])) {
      return null;
    }
    const profile = this._chosen.profile || this._options.kernelsProfile;
    return { profile, workers: number, gpus, cpu, memory };
  }

  private _chosen: ITrainOptions;
  private _open: boolean;
}

export namespace RunForm {
  export interface IOptions {
    /** What is filled in at first. */
    options: ITrainOptions;
    profiles: readonly Profile[];
    /** The profile of the notebook's kernel; empty if it is none of ours. */
    kernelsProfile: string;
    /** What there is to say before all; empty for nothing. */
    notice: string;
    /** Ask whether so many workers will fit; rejects with words. */
    fit: Fit.IAsk;
    trans: TranslationBundle;
  }
}

/** The options that are seldom needed. */
function seldom(trans: TranslationBundle): OptionKey[] {
  const fields = [...moreFields(trans), ...ticks(trans)];
  return [...fields.map(({ key }) => key), 'pip'];
}

function trimmed(options: ITrainOptions): ITrainOptions {
  const entries = Object.entries(options).map(([key, value]) => [
    key,
    typeof value === 'string' ? value.trim() : value
  ]);
  const pip = options.pip.map(each => each.trim()).filter(Boolean);
  return { ...Object.fromEntries(entries), pip };
}
