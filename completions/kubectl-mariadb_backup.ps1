# Completes kubectl-mariadb_backup in PowerShell. `kubectl mariadb-backup` is completed by kubectl's own script.

Register-ArgumentCompleter -Native -CommandName 'kubectl-mariadb_backup' -ScriptBlock {
    param($wordToComplete, $commandAst, $cursorPosition)

    $typed = @($commandAst.CommandElements | Where-Object { $_.Extent.EndOffset -lt $cursorPosition })
    $words = @($typed | Select-Object -Skip 1 | ForEach-Object { $_.ToString() }) + @("$wordToComplete")
    # Before 7.3 an empty argument is dropped unless it is quoted once more.
    if ($PSVersionTable.PSVersion -lt [version]'7.3') {
        $words = @($words | ForEach-Object { if ($_ -eq '') { '""' } else { $_ } })
    }
    # In --flag=value only the value is completed, and PowerShell wants the whole word.
    $lead = if ($wordToComplete -match '^--[^=]*=') { $Matches[0] } else { '' }
    & $commandAst.CommandElements[0].ToString() __complete @words 2>$null | Where-Object { $_ -notlike ':*' } | ForEach-Object {
        $candidate, $description = $_ -split "`t", 2
        $shown = if ($description) { $description } else { $candidate }
        [System.Management.Automation.CompletionResult]::new("$lead$candidate", $candidate, 'ParameterValue', $shown)
    }
}
