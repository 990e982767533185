import './base.css';
import './forms.css';
import './job.css';
