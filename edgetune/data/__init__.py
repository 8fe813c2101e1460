"""From the user's files to rows of token ids: readers, formats, checks, chat templates, masks, splits."""
