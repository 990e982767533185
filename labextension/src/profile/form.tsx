/**
 * The form that chooses a profile and what it leaves to its users.
 */
import { TranslationBundle } from '@jupyterlab/translation';
import React from 'react';
import { Profile } from '../tokens';
import { FormBody } from '../dialog';
import { ChoiceField, TextField } from '../field';
import {
  Chosen,
  ProfileOption,
  images,
  offered,
  problem,
  range
} from './bounds';
import { IChoice } from './choice';

/** The dialog's body. */
export class ProfileForm extends FormBody<IChoice> {
  constructor(private _options: ProfileForm.IOptions) {
    super();
    this.addClass('jp-KubeForm');
    this._profile = _options.profile;
    this._chosen = _options.chosenFor(this._profile.name);
  }

  getValue(): IChoice {
    const chosen = Object.entries(this._chosen).map(([name, value]) => [
      name,
      value.trim()
    ]);
    return { profile: this._profile.name, chosen: Object.fromEntries(chosen) };
  }

  get isWrong(): boolean {
    return offered(this._profile).some(name => this._problem(name) !== null);
  }

  protected fields(): JSX.Element {
    const { profiles, trans, warning } = this._options;
    const names = offered(this._profile);
    return (
      <>
        <ChoiceField
          label={trans.__('Profile')}
          value={this._profile.name}
          choices={profiles.map(each => [each.name, titleOf(each)])}
          onChange={name => this._choose(name)}
        />
        <p>{summary(this._profile, trans)}</p>
        {names.map(name => this._field(name))}
        {!names.length && (
          <p>{trans.__('This profile leaves nothing else to choose.')}</p>
        )}
        <p className="jp-KubeForm-warning">{warning}</p>
      </>
    );
  }

  private _field(name: ProfileOption): JSX.Element {
    const { trans } = this._options;
    const labels = {
      gpus: trans.__('GPUs'),
      cpu: trans.__('Processors'),
      memory: trans.__('Memory'),
      image: trans.__('Image')
    };
    const shared = {
      label: labels[name],
      onChange: (value: string) => {
        this._chosen = { ...this._chosen, [name]: value };
        this.update();
      }
    };
    if (name === 'image') {
      return (
        <ChoiceField
          key={name}
          {...shared}
          value={this._chosen.image || this._profile.image}
          choices={images(this._profile).map(each => [each, each])}
        />
      );
    }
    const bounds = range(this._profile, name, trans);
    return (
      <TextField
        key={name}
        {...shared}
        label={bounds ? `${labels[name]}, ${bounds}` : labels[name]}
        value={this._chosen[name] ?? ''}
        hint={String(this._profile[name])}
        problem={this._problem(name) ?? undefined}
      />
    );
  }

  private _choose(name: string): void {
    const { profiles, chosenFor } = this._options;
    this._profile = profiles.find(each => each.name === name)!;
    this._chosen = chosenFor(name);
    this.update();
  }

  private _problem(name: ProfileOption): string | null {
    const value = (this._chosen[name] ?? '').trim();
    return problem(this._profile, name, value, this._options.trans);
  }

  private _profile: Profile;
  private _chosen: Chosen;
}

export namespace ProfileForm {
  export interface IOptions {
    /** What there is to choose, at least one. */
    profiles: readonly Profile[];
    /** The one that is chosen at first. */
    profile: Profile;
    /** What was chosen of a profile before. */
    chosenFor: (profile: string) => Chosen;
    /** What accepting will do. */
    warning: string;
    trans: TranslationBundle;
  }
}

/** What a profile is called. */
export function titleOf(profile: Profile): string {
  return profile.display_name || profile.name;
}

function summary(profile: Profile, trans: TranslationBundle): string {
  const gpus = profile.gpus
    ? trans._n('%1 GPU', '%1 GPUs', profile.gpus)
    : trans.__('no GPU');
  return trans.__(
    '%1, %2 processors, %3 memory, image %4',
    gpus,
    profile.cpu,
    profile.memory,
    profile.image
  );
}
