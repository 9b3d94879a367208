"""Parts of this package inside other libraries; each module serves one of them and is imported by its own name."""
