import { LabIcon } from '@jupyterlab/ui-components';

/** A notebook's page held by three pods. */
export const kubeIcon = new LabIcon({
  name: 'jupyter-kube:icon',
  svgstr: `<svg xmlns="http://www.w3.org/2000/svg" width="16" viewBox="0 0 24 24">
  <g class="jp-icon3" fill="#616161">
    <path d="M12 2 7 4.9v5.7l5 2.9 5-2.9V4.9zm0 2.3 3 1.75v3.4l-3 1.75-3-1.75v-3.4z"/>
    <path d="M6.5 12 1.5 14.9v4.6l5 2.9 5-2.9v-4.6zm0 2.3 3 1.75v2.3l-3 1.75-3-1.75v-2.3z"/>
    <path d="M17.5 12l-5 2.9v4.6l5 2.9 5-2.9v-4.6zm0 2.3 3 1.75v2.3l-3 1.75-3-1.75v-2.3z"/>
  </g>
</svg>`
});
