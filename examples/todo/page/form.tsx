/** One text to be added. Whether it will do is for the server's hook to say. */

import { type FormEvent, useId, useState } from 'react';

interface TitleFormProps {
  label: string;
  onAdd(title: string): void;
}

export function TitleForm({ label, onAdd }: TitleFormProps) {
  const id = useId();
  const [title, setTitle] = useState('');
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (title.trim() === '') return;
    onAdd(title.trim());
    setTitle('');
  };
  return (
    <form onSubmit={submit}>
      <label htmlFor={id}>{label}</label>
      <input
        id={id}
        value={title}
        autoComplete="off"
        onChange={(event) => setTitle(event.target.value)}
      />
      <button type="submit">Add</button>
    </form>
  );
}
